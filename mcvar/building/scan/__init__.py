"""From the settings of a scan to its grid, ranges and parameters."""
