"""Expanded unpacked `.pa2` files."""
