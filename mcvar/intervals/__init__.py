"""Intervals of VaR and expected shortfall, a method a file; docs/confidence.md says where each holds."""
