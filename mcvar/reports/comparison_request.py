"""`mcvar.find_comparison`: scan margins of every account beside VaR and expected shortfall of one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mcvar import config as c
from mcvar.api import prepare
from mcvar.book import rows_of
from mcvar.errors import SettingError
from mcvar.io.tables import digest, read_table
from mcvar.jobs.compare import Simulation, option_value
from mcvar.market import DAYS_PER_YEAR
from mcvar.reports.comparison import ComparisonReport, compare_run
from mcvar.scan.compare import Basis, check_basis
from mcvar.scan.compare_external import read_margins
from mcvar.scanner import Priced, exported, scanner_of
from mcvar.shards import Progress


def find_comparison(config: c.Config, *, progress: Progress | None = None) -> ComparisonReport:
    """Simulate a book, scan it, and compare.

    Parameters
    ----------
    config : Config
        Its `job` is a `CompareJob`, and `scan` the grid.
    progress : callable, optional
        Of the Monte Carlo run: see `mcvar.run`.

    Raises
    ------
    McvarError
        Whatever is wrong with files or settings; margins and VaR that are not stated on one horizon, time decay and
        currency.

    Examples
    --------
    >>> few = c.Config(book=c.SampleBook(accounts=5), scenarios=c.SimulatedScenarios(count=2_000))
    >>> found = find_comparison(replace(few, job=c.CompareJob(ranges=False, netting=False)))
    >>> found.table().column_names[:4]
    ['account', 'kind', 'scan', 'worst_scenario']
    """
    job = config.job
    if not isinstance(job, c.CompareJob):
        raise SettingError(f"job={c.option_name(job)}: find_comparison takes job=compare")
    if c.option_name(config.sampling) != "plain":
        raise SettingError(
            "job=compare counts losses beyond margins, with exact intervals for independent scenarios of equal weight: "
            f"take sampling=plain, not {c.option_name(config.sampling)}"
        )
    level = max(config.measure.levels) if job.level is None else job.level
    if level not in config.measure.levels:
        raise SettingError(f"job.level is {level}: take one of measure.levels={list(config.measure.levels)}")
    prepared = prepare(replace(config, job=c.VarJob()))
    given, book = prepared.given, prepared.given.book
    chosen = rows_of(book, job.accounts, "job.accounts").tolist() if job.accounts else []
    if parents := [book.row[r] for r in chosen if r >= book.accounts]:
        raise SettingError(f"job.accounts has {', '.join(parents)}, which are sums of accounts: name accounts")
    own = scanner_of(config, prepared)
    horizon = given.horizon.variance if job.scan_days is None else job.scan_days / DAYS_PER_YEAR
    currency = book.currency[: book.accounts]
    scans, bases = [own.scans()], [Basis(horizon, own.lookahead, currency)]
    notes, inputs = [*own.notes], {**given.files, **own.inputs}
    if job.external:
        inputs[job.external] = digest(job.external) if Path(job.external).is_file() else ""
        table = read_table(job.external)
        for each in read_margins(table, book.row[: book.accounts], book.row[book.accounts :]):
            side, said = each.scans(option_value(given.market, book))
            scans.append(side)
            bases.append(Basis(given.horizon.variance, given.horizon.decay, currency))  # as the user brings them
            notes += [said] if said else []
    simulated = Basis(given.horizon.variance, given.horizon.decay, currency)
    for side, basis in zip(scans, bases, strict=True):
        check_basis(side.engine, basis, simulated, book.row[: book.accounts])  # before the run, which may be long
    report = prepared.run(progress)
    run = Simulation(
        given.market, book, given.scenarios, given.horizon.decay, prepared.engine, prepared.plan, report.result
    )
    ranges = [own.risk if job.ranges and isinstance(own, Priced) else None, *[None] * (len(scans) - 1)]
    record = {**report.record, "inputs": inputs, "scan": own.record()}
    return compare_run(
        run, scans, bases, horizon=given.horizon.variance, level=level, record=record, ranges=ranges,
        netting=job.netting, accounts=chosen, draw=config.output.plot_rows, notes=notes,
        export=exported(own) if job.export else None,
    )  # fmt: skip
