"""Risk arrays and SPAN parameters: what every format is read into, and tables."""
