"""Scan margins beside Monte Carlo: the statistics."""
