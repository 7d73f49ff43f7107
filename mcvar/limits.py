"""Numbers that no configuration may have, whatever its job."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from mcvar.config import Config
from mcvar.errors import SettingError


def check_numbers(settings: Any, prefix: str = "") -> None:
    """Refuse settings that are not finite."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            check_numbers(value, f"{prefix}{field.name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise SettingError(f"{prefix}{field.name} is {value}: give a finite number")


def check_limits(config: Config) -> None:
    """Refuse numbers of rows to write, of workers and of gigabytes that there cannot be."""
    for name, least in (("tail_rows", 1), ("table_rows", 0), ("plot_rows", 0)):
        if getattr(config.output, name) < least:
            raise SettingError(f"output.{name} is {getattr(config.output, name)}: it must be at least {least}")
    for name in ("workers", "memory_gb"):
        if (given := getattr(config.executor, name)) < 0:
            raise SettingError(f"executor.{name}={given:.3g} must not be negative: 0 means automatic")
