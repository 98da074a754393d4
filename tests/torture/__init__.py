"""The random part of the tests, in full: `make torture` runs it and prints a scoreboard."""
