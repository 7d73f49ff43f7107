"""The configuration as typed dataclasses, a group of options a file; `mcvar/config.py` puts them together."""
