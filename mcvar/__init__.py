"""mcvar: how much each account in a derivatives book can lose, with error bars."""

__version__ = "0.1.0"
