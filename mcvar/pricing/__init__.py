"""Values of instruments as formulas on arrays: one family a file, no market, no book, no device."""
