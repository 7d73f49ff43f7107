"""The SPAN algorithm, a step a file; `algorithm.py` takes them in order."""
