"""Margins by an exchange's scan grid: moves, a named reduction, contingencies."""
