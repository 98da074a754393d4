"""`python -m notafter`: the command line."""

from notafter.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
