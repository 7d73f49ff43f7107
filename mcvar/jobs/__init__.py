"""Jobs: one a file, each a short composition of engines, shards and measures into a report."""
