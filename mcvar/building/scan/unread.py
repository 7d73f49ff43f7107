"""Settings of a scan grid that nothing would read: refused, since who wrote them thinks that they count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mcvar.scan.exchange.grid import Points, Reduction
from mcvar.settings.scan import ScanConfig

_NOT_SPAN = (
    "extended", "skews", "short_power", "long_power", "pivot_days", "least_days", "least_volatility", "damping",
    "inverse_conversion", "gains", "skew", "discounts", "basis", "initial", "maintenance", "contingencies",
)  # fmt: skip
_SPAN = ("parameters", "tie", "short_option_minimum")


def unread(config: ScanConfig, points: Points) -> Iterator[str]:
    """One line for each reason.

    SPAN's parameters have one range up and down and the same for every expiry: an array made with others would
    contradict what is exported with it.
    """
    span, expiries = config.reduction is Reduction.span, config.reduction is Reduction.expiries
    if span:
        names = [*_NOT_SPAN]
        names += ["price_range_down"] * (config.price_range_down != config.price_range)
        names += ["volatility_down"] * (config.volatility_down != config.volatility_up)
        yield from _said(config, names, "scan.reduction=span has nothing to do with {}: leave it at {}")
    else:
        yield from _said(config, _SPAN, "{} is for the SPAN algorithm: take scan.reduction=span, or leave it at {}")
        if config.reduction is not Reduction.cells:
            yield from _said(config, ["gains"], "{} counts with scan.reduction=cells only: leave it at {}")
        if not expiries:
            only = "{} counts with scan.reduction=expiries only: leave it at {}"
            yield from _said(config, ["discounts", "basis"], only)
        if not config.skews:
            yield from _said(config, ["skew"], "{} is of scan.skews, and there are none: leave it at {}")
        if not np.isnan(points.weight).any():
            null = "{} is for extended moves whose weight is null, and there are none: leave it at {}"
            yield from _said(config, ["damping"], null)
        if not points.extended.any():
            yield from _said(
                config, ["inverse_conversion"], "{} is for extended moves, and there are none: leave it at {}"
            )
    yield from _said(config, ["conventions"], "{} are for reading scan.file, which is not given: leave it at {}")
    ranges = (config.price_range, config.volatility_up, config.parameters or None, config.extended or None)
    if config.days is not None and all(each is None for each in ranges):
        yield (
            f"scan.days is {config.days:g}, and no range is given that it could be of: ranges that nobody gives are of "
            "the run's own moves; leave it at null"
        )


def _said(config: ScanConfig, names: Iterable[str], why: str) -> Iterator[str]:
    blank = ScanConfig()
    for name in names:
        value, default = getattr(config, name), getattr(blank, name)
        if value != default:
            shown = {None: "null", False: "false", "": "''"}.get(default, default) if _plain(default) else default
            yield why.format(f"scan.{name}", shown)


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool | str)
