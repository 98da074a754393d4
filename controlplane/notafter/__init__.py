"""notafter: no certificate of a server fleet reaches its notAfter."""

__version__ = "0.1.0"
