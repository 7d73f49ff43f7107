"""Numbers by commodity must name commodities that there are: one that is misspelt would leave the default in force."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from mcvar.scan.exchange.grid import Rule
from mcvar.scan.per import DEFAULT, Per

# The grids of configs/scan name these: a book need not have them.
PUBLISHED = frozenset({"BTC", "ETH", "SPX", "NDX", "DJX", "RUT"})


def unknown_names(numbers: Mapping[str, Per | None], rules: Collection[Rule], known: Collection[str]) -> Iterator[str]:
    """One line for each name in a mapping that is no commodity.

    Parameters
    ----------
    numbers : mapping of str to Per or None
        By setting.
    rules : collection of Rule
        Their settings may be numbers by commodity, too.
    known : collection of str
        Commodities of the book, of the instruments that are listed, and of tables of parameters.

    Examples
    --------
    >>> print(*unknown_names({"scan.price_range": Per({"Cl": 5.0, "default": 1.0})}, (), ["CL", "NG"]))
    scan.price_range names 'Cl', which is no commodity here: do you mean CL?
    """
    given = {name: per for name, per in numbers.items() if per is not None}
    for rule in rules:
        given |= {f"contingency {rule.name}.{key}": per for key, per in rule.settings.items() if isinstance(per, Per)}
    for setting, per in given.items():
        for name in sorted(str(each) for each in per.of if each != DEFAULT and each not in PUBLISHED):
            if name not in known:
                yield f"{setting} names '{name}', which is no commodity here: {_remedy(name, known)}"


def _remedy(name: str, known: Collection[str]) -> str:
    alike = {each.lower(): each for each in known if each}
    near = [alike[each] for each in get_close_matches(name.lower(), alike, n=3, cutoff=0.5)]
    if near:
        return f"do you mean {' or '.join(near)}?"
    return f"there are {', '.join(sorted(alike.values())[:5])}{', ...' * (len(alike) > 5)}"
