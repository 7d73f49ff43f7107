"""mcvar: how much each account in a derivatives book can lose, with error bars.

>>> import mcvar
>>> report = mcvar.run(mcvar.Config(scenarios=mcvar.config.SimulatedScenarios(count=2_000)))

runs the sample job; the nouns (`Market`, `Book`, `Gaussian`, `Simulated`, `Reference`, `Tail`, ...)
are there to be used directly.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Where each public name lives. Loaded on first use, so that engines run on a bare node with numpy and scipy only.
_HOME = {
    "Book": "book",
    "CapacityError": "errors",
    "Columns": "columns",
    "Config": "config",
    "Device": "engines",
    "Estimate": "measures",
    "Explicit": "scenarios",
    "FilteredHistorical": "models",
    "Gaussian": "models",
    "GjrGarch": "models",
    "Heston": "models",
    "History": "history",
    "HostLauncher": "engines",
    "InputError": "errors",
    "Market": "market",
    "McvarError": "errors",
    "Merton": "models",
    "Moments": "moments",
    "Reference": "engines",
    "Report": "report",
    "SettingError": "errors",
    "Simulated": "scenarios",
    "StudentT": "models",
    "Tail": "tail",
    "find_calibration": "reports.calibration",
    "find_comparison": "reports.comparison_request",
    "find_explanation": "reports.explanation",
    "find_greeks": "reports.greeks",
    "find_margins": "reports.margins",
    "fit_model": "reports.fit",
    "run": "api",
    "simulate_moves": "reports.moves",
}
__all__ = ["__version__", "config", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"mcvar.{_HOME[name]}"), name)
    if name in ("book", "config", "correlation", "history", "market", "measures", "models", "scenarios", "shards"):
        return import_module(f"mcvar.{name}")
    raise AttributeError(f"module 'mcvar' has no attribute '{name}'")
