"""What clients and servers of Blindfit agree on; holds no secret and no server state."""

__version__ = "0.1.0"
