"""Reports as pictures, PNG and SVG."""
