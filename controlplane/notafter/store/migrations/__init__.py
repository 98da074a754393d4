"""The database's history, one file a step; `notafter migrate` and `serve` walk it."""
