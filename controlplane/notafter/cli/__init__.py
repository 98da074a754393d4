"""The command line: what an operator does by hand."""
