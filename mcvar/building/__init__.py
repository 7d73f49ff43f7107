"""From configuration to nouns, a part of the run a file; `mcvar/build.py` puts them together."""
