"""Margins beside Monte Carlo: the statistics."""
