"""Laws and runs under every sampling: same law, smaller errors, and clear words for what does not go together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import laws
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mcvar import build
from mcvar import config as c
from mcvar.book import Book
from mcvar.engines import Device, Launcher, Reference
from mcvar.errors import SettingError
from mcvar.market import Market
from mcvar.models import Gaussian, Law, StudentT
from mcvar.models.principal import principal_root, shape_of
from mcvar.sampling import Philox, Plain, Quasi, Sampling, Shape, Sobol, Strata, Stratified, as_source
from mcvar.scenarios import BLOCK, Simulated

Floats = NDArray[np.float64]
YEARS = 10 / 365
SPREAD = [Quasi(32), Strata(64)]
MakeMarket = Callable[..., Market]
PLAIN_MEANS: list[Floats] = []  # what the samplings are compared with, made once
PLAIN_VARIANCES: dict[int, Floats] = {}


def by_replicate(x: Floats, scenarios: Simulated, otherwise: int = 32) -> Floats:
    """[G, ..., N / G]: the scenarios of each replicate; of plain ones some groups."""
    of = np.arange(x.shape[-1]) // scenarios.unit % (scenarios.replicates or otherwise)
    return np.stack([x[..., of == g] for g in range(of.max() + 1)])


def moves_of(scenarios: Simulated) -> Floats:
    blocks = range(0, scenarios.count, BLOCK)
    return np.concatenate([scenarios.moves(at, at + BLOCK) for at in blocks], axis=1)[:, : scenarios.count]


def away(found: Floats, expected: Floats | float) -> float:
    """Largest distance of the mean of replicates [G, ...] from what is expected, in standard errors of t's law."""
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    # Only replicates whose values differ by more than rounding can be told from what is expected.
    distance = np.abs(found.mean(axis=0) - expected) / np.maximum(error, 1e-12)
    return float(np.max(stats.norm.isf(stats.t(len(found) - 1).sf(distance))))


def ten_factors(make_market: MakeMarket) -> Market:
    rows = [{"factor": f"U{i}", "level": 100.0, "volatility": 0.2 + 0.02 * i, "shock": "simple"} for i in range(10)]
    matrix = np.full((10, 10), 0.4)
    np.fill_diagonal(matrix, 1.0)
    return make_market(rows, correlation=matrix)


def two_books(market: Market, make_book: Callable[..., Book]) -> Book:
    names = market.factors.name
    rows: list[dict[str, Any]] = [{"instrument": n, "kind": "spot", "underlying": n} for n in names]
    for n in names:
        terms = {"kind": "option", "underlying": n, "years": 0.25, "volatility": 0.3}
        rows += [{**terms, "instrument": f"{n}-{t}", "strike": 100.0, "option_type": t} for t in ("call", "put")]
    held = [("linear", n, 1.0 + i % 3) for i, n in enumerate(names)]
    held += [("options", f"{n}-{t}", -q) for n in names for t, q in (("call", 10.0), ("put", 5.0))]
    return make_book(market, rows, held)


@pytest.mark.parametrize("factors", [1, 2, 9, 40])
def test_principal_root(factors: int) -> None:
    x = np.random.default_rng(factors).standard_normal((factors, 2 * factors))
    correlation = np.corrcoef(x).reshape(factors, factors)
    root = principal_root(np.linalg.cholesky(correlation))
    np.testing.assert_allclose(root @ root.T, correlation, atol=1e-13)
    value = np.linalg.eigvalsh(correlation)[::-1]
    np.testing.assert_allclose(root.T @ root, np.diag(value), atol=1e-12)  # orthogonal, by falling variance
    assert (np.max(root, axis=0) >= (1 - 1e-9) * np.abs(root).max(axis=0)).all()


def test_principal_root_of_factors_that_move_as_one() -> None:
    root = principal_root(np.array([[1.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_allclose(root, [[1.0, 0.0], [1.0, 0.0]], atol=1e-15)


@pytest.mark.parametrize("sampling", SPREAD, ids=str)
@pytest.mark.parametrize("name", sorted(set(laws.STEPS) - {"filtered", "filtered_blocks", "merton"}))
def test_moments_are_those_of_plain_sampling(every_market: Market, name: str, sampling: Sampling) -> None:
    """Means, squares, products and a tail of all moves: within errors, which are told from replicates on both sides."""
    law = laws.every_law(every_market, name, YEARS)
    count = 2**13 if law.steps > 1 else 2**15
    unit = np.where(law.first_deviation > 0, law.first_deviation, 1.0)[:, None] * np.sqrt(law.steps)
    found = []
    for each in (sampling, Plain()):
        scenarios = Simulated(law, count, 11, each)
        x = by_replicate(moves_of(scenarios) / unit, scenarios)
        x = np.clip(x, -6.0, 6.0)  # so that all moments exist
        pairs = np.stack([(x[:, i] * x[:, j]).mean(axis=-1) for i, j in ((0, 5), (0, 1), (4, 6), (2, 8))], axis=1)
        found.append(
            np.concatenate([x.mean(axis=2), (x**2).mean(axis=2), np.tanh(4 * x - 6).mean(axis=2), pairs], axis=1)
        )
    mean, other = (each.mean(axis=0) for each in found)
    error = np.sqrt(sum(each.var(axis=0, ddof=1) / len(each) for each in found))
    assert (
        np.max(np.abs(mean - other) / np.maximum(error, 1e-12)) < 5.0
    )  # of some 30 numbers, with errors of 15 degrees of freedom or more


@pytest.mark.parametrize("sampling", SPREAD, ids=str)
@pytest.mark.parametrize("steps", [1, 6])
def test_means_and_covariances_are_the_laws(make_market: MakeMarket, steps: int, sampling: Sampling) -> None:
    market = ten_factors(make_market)
    law = Gaussian().law(market, YEARS, np.zeros(10), steps)
    scenarios = Simulated(law, 2**14, 3, sampling)
    x = by_replicate(moves_of(scenarios), scenarios)
    scale = market.volatility * np.sqrt(YEARS)
    x = x / scale[:, None]
    second = np.einsum("gfn,ghn->gfh", x, x) / x.shape[-1]
    assert away(x.mean(axis=2), 0.0) < 4.5
    assert away(second, market.correlation) < 4.5


@pytest.mark.parametrize("sampling", SPREAD, ids=str)
def test_tails_of_a_t_law(make_market: MakeMarket, sampling: Sampling) -> None:
    market = make_market([{"factor": n, "level": 1.0, "volatility": 0.3, "shock": "simple"} for n in "ABC"])
    scenarios = Simulated(StudentT(dof=4).law(market, YEARS, np.zeros(3)), 2**15, 5, sampling)
    x = by_replicate(moves_of(scenarios) / (0.3 * np.sqrt(YEARS)) * np.sqrt(2.0), scenarios)  # t with 4 dof
    for level in (0.01, 0.05, 0.6, 0.99):
        assert away((x <= stats.t(4).ppf(level)).mean(axis=2), level) < 4.5


@pytest.mark.parametrize("sampling", SPREAD, ids=str)
@pytest.mark.parametrize("place", ["numpy", "native", "emulated"])
def test_expected_pnl_is_that_of_plain_sampling(
    every_market: Market, every_book: Book, launcher: Callable[..., Launcher], place: str, sampling: Sampling
) -> None:
    law = laws.every_law(every_market, "gaussian", YEARS)

    def means(each: Sampling, place: str, count: int) -> Floats:
        scenarios = Simulated(law, count, 21, each)
        if place == "numpy":
            engine: Reference | Device = Reference(every_market, every_book, scenarios, YEARS)
        else:
            engine = Device(every_market, every_book, scenarios, YEARS, launcher=launcher(place))
        return by_replicate(engine.pnl(0, count), scenarios).mean(axis=2)

    if not PLAIN_MEANS:
        PLAIN_MEANS.append(means(Plain(), "native", 2**14))
    found = [means(sampling, place, 2**10 if place == "emulated" else 2**11), PLAIN_MEANS[0]]
    difference = found[0].mean(axis=0) - found[1].mean(axis=0)
    error = np.sqrt(sum(each.var(axis=0, ddof=1) / len(each) for each in found))
    assert np.max(np.abs(difference) / np.maximum(error, 1e-9)) < 5.0


@pytest.mark.parametrize("steps", [1, 8])
@pytest.mark.parametrize("sampling", SPREAD, ids=str)
def test_variances_over_replicates_are_smaller(
    make_market: MakeMarket, make_book: Callable[..., Book], launcher: Callable[..., Launcher],
    steps: int, sampling: Sampling,
) -> None:  # fmt: skip
    """Of mean, VaR and ES of a linear and an option book on ten factors, 1,024 scenarios a replicate."""
    market = ten_factors(make_market)
    book = two_books(market, make_book)
    law, per = Gaussian().law(market, YEARS, np.zeros(10), steps), 1_024

    def variance(each: Sampling) -> Floats:
        """[measure, book], of replicates as large as the plain ones."""
        parts = []
        for seed in range(3):
            scenarios = Simulated(law, (each.replicates or 32) * per, 100 + seed, each)
            loss = -Device(market, book, scenarios, 0.0, launcher=launcher("native")).pnl(0, scenarios.count)[:2]
            worst = np.sort(by_replicate(loss, scenarios), axis=2)[..., ::-1]
            parts.append(np.stack([worst.mean(axis=2), worst[..., 10], worst[..., :26].mean(axis=2)]))
        return np.asarray(np.mean([part.var(axis=1, ddof=1) for part in parts], axis=0))

    if steps not in PLAIN_VARIANCES:
        PLAIN_VARIANCES[steps] = variance(Plain())
    ratio = PLAIN_VARIANCES[steps] / variance(sampling)
    least = [(100.0, 2.5, 5.0), (3.0, 1.0, 1.1)][isinstance(sampling, Strata)]
    assert (ratio.min(axis=1) > least).all(), ratio


def test_scenarios_are_the_same_alone_and_with_others(every_market: Market) -> None:
    law = laws.every_law(every_market, "copula", YEARS)
    for sampling in SPREAD:
        scenarios = Simulated(law, 2**13, 1, sampling)
        whole = scenarios.source.normals(0, 4_096, 9, step=1)
        for at in (0, 1, 77, 1_024, 4_095):
            assert np.array_equal(scenarios.source.normals(at, at + 1, 9, step=1)[:, 0], whole[:, at])
        more = Simulated(law, 2**15, 1, sampling)
        assert np.array_equal(more.source.normals(0, 4_096, 9, step=1), whole)


def test_plain_is_what_it_was(every_market: Market) -> None:
    law = laws.every_law(every_market, "grouped_t", YEARS)
    plain = Simulated(law, 100, 9)
    assert plain.drawn is law
    assert plain.source == Philox(9) == as_source(9)
    assert np.array_equal(plain.moves(0, 100), law.moves(9, 0, 100))
    assert (plain.unit, plain.replicates) == (1, None)


def test_units_and_replicates(make_market: MakeMarket) -> None:
    law = Gaussian().law(ten_factors(make_market), YEARS, np.zeros(10))
    sobol, strata = Simulated(law, 24 * 4, 1, Quasi(24)), Simulated(law, 16 * 32 * 3, 1, Strata(32))
    assert (sobol.unit, sobol.replicates, strata.unit, strata.replicates) == (1, 24, 32, 16)
    assert isinstance(sobol.source, Sobol)
    assert isinstance(strata.source, Stratified)


def test_shape_of_laws(every_market: Market) -> None:
    shape = {name: shape_of(laws.every_law(every_market, name, YEARS)) for name in laws.STEPS}
    assert shape["gaussian_10"] == Shape(10, 0, 9)
    assert shape["grouped_t"] == Shape(3, 1, 9)
    assert shape["independent_t"] == Shape(1, 3, 9)
    assert shape["filtered"] == Shape(10, 0, 0)


@pytest.mark.parametrize(
    ("sampling", "count", "said"),
    [
        (Quasi(), 100_000, "scenarios.count is 100000, but .* set scenarios.count to 65536 or 131072$"),
        (Quasi(12), 96 + 12, "set scenarios.count to 96 or 192$"),
        (Quasi(), 15, "set scenarios.count to 16 or 32$"),
        (Quasi(1), 1_024, "sampling.scramblings is 1: it must be from 2"),
        (Quasi(2_000), 2_000, "sampling.scramblings is 2000: .* to 1024"),
        (Quasi(2), 2**35, "beyond 2 times 2\\*\\*32 points: raise sampling.scramblings"),
        (Strata(), 100_000, "multiple of 1024, so that .* set scenarios.count to 99328 or 100352$"),
        (Strata(), 1_000, "set scenarios.count to 1024$"),
        (Strata(48), 1_024, "sampling.strata is 48: it must be a power of two from 2 to 1024"),
        (Strata(2_048), 2**16, "sampling.strata is 2048"),
        (Strata(1), 2**16, "sampling.strata is 1:"),
        (Strata(-64), 2**16, "sampling.strata is -64:"),
    ],
)
def test_counts_that_are_not_balanced_are_refused(
    make_market: MakeMarket, sampling: Sampling, count: int, said: str
) -> None:
    law: Law = Gaussian().law(ten_factors(make_market), YEARS, np.zeros(10))
    with pytest.raises(SettingError, match=said):
        Simulated(law, count, 1, sampling)


def test_more_dimensions_than_there_are_is_an_error(make_market: MakeMarket) -> None:
    law = StudentT().law(ten_factors(make_market), YEARS, np.zeros(10), 1_000)
    with pytest.raises(
        SettingError, match=r"11,000 dimensions for model.steps=1000 .* there are 8,192: take fewer steps"
    ):
        Simulated(law, 1_024, 1, Quasi())
    assert Simulated(law, 1_024, 1, Strata()).unit == 64


@pytest.mark.parametrize("sampling", SPREAD, ids=str)
def test_laws_without_normals_are_refused(every_market: Market, sampling: Sampling) -> None:
    with pytest.raises(SettingError, match=f"model=filtered_historical .* sampling={sampling.name}.* sampling=plain"):
        Simulated(laws.every_law(every_market, "filtered", YEARS), 2**15, 1, sampling)


@pytest.mark.parametrize(
    ("chosen", "made"),
    [
        (c.PlainSampling(), Plain()),
        (c.SobolSampling(scramblings=8), Quasi(8)),
        (c.StratifiedSampling(strata=32), Strata(32)),
    ],
)
def test_configurations_choose_a_sampling(chosen: c.SamplingConfig, made: Sampling) -> None:
    given = build.inputs(c.Config(scenarios=c.SimulatedScenarios(count=2**14), sampling=chosen))
    assert isinstance(given.scenarios, Simulated)
    assert given.scenarios.sampling == made


def test_history_is_not_sampled() -> None:
    config = c.Config(model=c.HistoricalModel(), sampling=c.SobolSampling())
    with pytest.raises(SettingError, match=r"model=historical .* sampling=sobol could spread: take sampling=plain"):
        build.inputs(config)
