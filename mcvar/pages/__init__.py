"""Self-contained HTML pages: text, tables and pictures in one file."""
