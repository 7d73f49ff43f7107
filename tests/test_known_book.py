from collections.abc import Callable

import numpy as np

from mcvar.book import Book, underlying_carry
from mcvar.engines import Reference
from mcvar.market import Market
from mcvar.measures import depth, measure
from mcvar.models import Drift, Gaussian
from mcvar.scenarios import Simulated
from mcvar.shards import simulate

COUNT, HORIZON = 1_000_000, 0.04
EXACT = {("var", 0.99): 205.714, ("es", 0.99): 241.746, ("var", 0.95): 138.266, ("es", 0.95): 179.779}


def test_short_straddles_on_ten_underlyings(make_market: Callable[..., Market], make_book: Callable[..., Book]) -> None:
    # Ten independent underlyings, short 10 calls and 5 puts on each, as in the examples of Glasserman, Heidelberger and
    # Shahabuddin (Management Science 46, 2000). Exact: the loss of one, convolved ten times by FFT, to 0.01.
    names = [f"S{n}" for n in range(10)]
    market = make_market([{"factor": n, "level": 100.0, "volatility": 0.30, "carry": 0.05} for n in names])
    option = {"kind": "option", "strike": 100.0, "years": 0.5, "volatility": 0.30, "rate": 0.05, "carry": 0.05}
    rows, held = [], []
    for name in names:
        for option_type, quantity in (("call", -10.0), ("put", -5.0)):
            instrument = f"{name} {option_type}"
            rows.append({**option, "instrument": instrument, "underlying": name, "option_type": option_type})
            held.append(("A", instrument, quantity))
    book = make_book(market, rows, held)
    carry = underlying_carry(market, book.instruments)
    np.testing.assert_allclose(carry, 0.05)
    law = Gaussian(drift=Drift.risk_neutral).law(market, HORIZON, carry)
    engine = Reference(market, book, Simulated(law, COUNT, seed=1), HORIZON)
    levels = [0.95, 0.99]
    tail, moments = simulate(engine, COUNT, depth(COUNT, levels, 0.95), workers=2)
    found = {(e.measure, e.level): e for e in measure(tail, moments, levels, 0.95)}
    for key, exact in EXACT.items():
        assert abs(found[key].value[0] - exact) < 4 * found[key].stderr[0] + 0.01, key
        assert found[key].stderr[0] < 0.004 * exact
