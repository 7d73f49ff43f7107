"""Kernel sources: CUDA C++ headers and entry points, found by `mcvar.engines.kernels.source_folder`."""
