"""Files: one format a module, each turned into `Columns` with the line of every row."""
