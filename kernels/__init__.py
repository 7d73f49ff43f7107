"""Kernel sources, found by `mcvar.engines.kernels.source_folder`: headers for host and device, host entry points."""
