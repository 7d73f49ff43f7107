"""Random risk arrays and parameters that use every field."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mcvar.io.contracts import Contract, Contracts
from mcvar.io.scan.tables import tables_to_write
from mcvar.io.table_write import write_table
from mcvar.scan.arrays import RiskArrays
from mcvar.scan.parameters import Commodity, Delivery, Leg, Parameters, Spread, Tier

ODD = ["BTC-27MAR26-65000-C", "A & B <c>", 'say "hi", twice', "ä€?>", "a:b", "NaN", "1e5", "x  y", "-?>-"]


def random(seed: int, points: int = 16, size: int = 40) -> tuple[RiskArrays, Parameters]:
    """Numbers of all magnitudes, names that need quotes, ranges that are not known."""
    draw = np.random.default_rng(seed)
    commodities = ["X & Y", "NaN", "Z,1"]
    of = np.concatenate([np.arange(3), draw.integers(0, 3, size - 3)])
    option = draw.random(size) < 0.6
    scale = 10.0 ** draw.integers(-12, 13, size)
    loss = draw.normal(size=(size, points)) * scale[:, None]
    loss[0], loss[1, 0] = 0.0, -0.0
    months = ["202603", "202606", "20261225", ""]
    arrays = RiskArrays(
        name=(*ODD, *(f"I{i}" for i in range(size - len(ODD)))),
        commodity=tuple(commodities),
        of=of,
        currency=tuple("USD" if c < 2 else "EUR" for c in of),
        loss=loss,
        delta=draw.normal(size=size),
        value=np.where(option, draw.random(size) * scale, 0.0),
        option=option,
        month=tuple(months[m] for m in draw.integers(0, 4, size)),
    )
    tiers = (Tier(1, "", "202603"), Tier(2, "202604", "20261231"), Tier(7, "202701", ""))

    def within(name: str) -> tuple[Spread, ...]:
        legs = (Leg(name, 1, 1.0, 1), Leg(name, 2, float(draw.random()) + 0.1, -1))
        butterfly = (Leg(name, 1, 1.0, 1), Leg(name, 2, 2.0, -1), Leg(name, 7, 1.0, 1))
        return (Spread(10, legs, float(draw.random())), Spread(2, butterfly, 0.0), Spread(3, legs))

    made = [
        Commodity(
            name, "EUR" if c == 2 else "USD", price_range=(0.1, np.nan, 1e-7)[c], relative=c == 1,
            volatility_range=(np.nan, 0.1 + 0.2, 4.0)[c], relative_volatility=c == 2, extreme=float(draw.random()) * 3,
            covered=float(draw.random()), lookahead=float(draw.random()) / 100, tiers=tiers[:3], spreads=within(name),
            delivery=(Delivery("202603", float(draw.random()), 0.0), Delivery("20260415", 0.0, 1 / 3)),
            short_option_minimum=float(draw.random()) * 50, short_netted=c == 0,
            delta_unit=(0.1 + 0.2, np.nan, 1000.0)[c],
        )
        for c, name in enumerate(commodities)
    ]  # fmt: skip
    between = (
        Spread(5, (Leg("NaN", 0, 1.0, 1, 0.7), Leg("Z,1", 0, 1 / 3, -1, 0.7))),
        Spread(1, (Leg("X & Y", 2, 1.0, -1, 0.1), Leg("Z,1", 0, 2.0, 1, 0.2), Leg("NaN", 7, 1.5, -1, 1.0))),
        Spread(9, (Leg("X & Y", 0, 1.0, 1), Leg("NaN", 0, 1.0, -1)), 0.25),
    )
    return arrays, Parameters(tuple(made), between, ("lowest", "highest")[seed % 2])


def terms(arrays: RiskArrays) -> Contracts:
    """Contracts of them, of several kinds."""
    found = []
    for i in range(len(arrays)):
        product = f"P{arrays.of[i]}&"
        if arrays.option[i]:
            kind = ("OOF", "OOP")[i % 2]
            found.append(Contract("EX", product, kind, arrays.month[i], "202606", "CP"[i % 2], 10.0 * i - 50))
        else:
            found.append(Contract("EX", product, ("FUT", "PHY", "CMB")[i % 3], arrays.month[i]))
    return Contracts.of(found)


def write(folder: Path, arrays: RiskArrays, parameters: Parameters) -> list[Path]:
    """The tables in a folder, as an export writes them."""
    tables = tables_to_write(arrays, parameters)
    folder.mkdir(exist_ok=True)
    return [write_table(folder / f"{name}.csv", table) for name, table in tables.items()]


def same(one: RiskArrays, two: RiskArrays) -> None:
    """All fields agree to the bit, signs of zeros among them."""
    for field in ("name", "commodity", "currency", "month"):
        assert getattr(one, field) == getattr(two, field), field
    for field in ("of", "loss", "delta", "value", "option"):
        mine, other = getattr(one, field), getattr(two, field)
        assert mine.dtype == other.dtype, field
        assert mine.tobytes() == np.ascontiguousarray(other).tobytes(), field
