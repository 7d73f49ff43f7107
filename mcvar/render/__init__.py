"""Reports as text for a terminal, a job a file."""
