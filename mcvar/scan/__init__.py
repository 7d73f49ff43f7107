"""Scan margins: SPAN and exchange grids. Losses at given points instead of drawn ones, and what rules make of them."""
