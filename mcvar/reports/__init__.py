"""A configured job a file: what it asks for, what it runs, and the tables it writes."""
