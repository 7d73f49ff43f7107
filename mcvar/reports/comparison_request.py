"""`mcvar.find_comparison`: scan margins of every account beside VaR and expected shortfall of one run."""

from __future__ import annotations

from dataclasses import replace

from mcvar import config as c
from mcvar.api import prepare
from mcvar.errors import McvarError, SettingError
from mcvar.io.tables import digest, read_table
from mcvar.jobs.compare import ScanOf, Simulation, option_value
from mcvar.reports.comparison import ComparisonReport, compare_run
from mcvar.reports.margins import own_rows
from mcvar.scan.comparison.compare import Basis, Scans, check_basis
from mcvar.scan.comparison.external import External, read_margins
from mcvar.scanners import Desk, Scanner, scanner_of
from mcvar.shards import Progress

_UNSOLVED = "job.ranges: which ranges would cover as much is solved for mcvar's own risk arrays, not for scan.file"


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
        Whatever is wrong with files or settings, of all files together; margins and VaR that are not stated on one
        horizon, time decay and currency.

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
    prepared = prepare(replace(config, job=c.VarJob()), tables=True)
    given, horizon = prepared.given, prepared.given.horizon
    desk = Desk(given, prepared.engine, prepared.plan.workers)
    chosen = own_rows(desk, job.accounts)
    simulated = Basis(horizon.variance, horizon.decay, desk.currency)
    own, side, elsewhere = _sides(config, job, desk, simulated)
    scans, bases = [side], [replace(simulated, horizon=own.horizon, decay=own.lookahead)]
    notes = [*own.notes, *desk.notes()]
    for external in elsewhere:
        further, said = external.scans(option_value(given.market, given.book))
        scans.append(further)
        bases.append(external.basis(simulated))
        notes += [said] if said else []
    for each, basis in zip(scans, bases, strict=True):
        check_basis(each.engine, basis, simulated, desk.account)  # before the run, which may be long
    ranges: list[ScanOf | None] = [own.ranged if job.ranges else None, *[None] * len(elsewhere)]
    notes += [_UNSOLVED] if job.ranges and own.ranged is None else []
    files = own.export(config) if job.export else {}
    report = prepared.run(progress)
    run = Simulation(
        given.market, given.book, given.scenarios, horizon.decay, prepared.engine, prepared.plan, report.result
    )
    inputs = {**given.files, **own.inputs, **({job.external: digest(job.external)} if job.external else {})}
    record = {**report.record, "inputs": inputs, "scan": own.record()}
    return compare_run(
        run, scans, bases, horizon=horizon.variance, level=level, record=record, ranges=ranges, netting=job.netting,
        accounts=chosen, draw=config.output.plot_rows, notes=notes, files=files,
    )  # fmt: skip


def _sides(config: c.Config, job: c.CompareJob, desk: Desk, simulated: Basis) -> tuple[Scanner, Scans, list[External]]:
    """The scan engine with its margins, and those of elsewhere.

    What is wrong with one of them does not hide what is wrong with the others.
    """
    problems: list[McvarError] = []
    found: tuple[Scanner, Scans] | None = None
    elsewhere: list[External] = []
    try:
        own = scanner_of(config.scan, desk)
        found = own, own.scans()
    except McvarError as error:
        problems.append(error)
    try:
        if job.external:
            taken = (found[0].name,) if found else ()
            elsewhere = read_margins(
                read_table(job.external), desk.account, desk.book.row[desk.book.accounts :], taken=taken,
                simulated=simulated,
            )  # fmt: skip
    except McvarError as error:
        problems.append(error)
    if len(problems) > 1:
        raise SettingError("\n".join(map(str, problems)))
    if found is None or problems:
        raise problems[0]
    return *found, elsewhere
