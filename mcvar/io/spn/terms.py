"""What contracts are in PC-SPAN XML: their types, and what the format has no place for."""

from __future__ import annotations

import numpy as np

from mcvar.errors import InputError
from mcvar.io.contracts import Contract, Contracts, parse_name
from mcvar.io.spn.fields import PORTFOLIOS
from mcvar.scan.arrays import RiskArrays

# The elements of a portfolio and of a contract by the type of the contracts.
ELEMENT = {kind: (portfolio, contract) for portfolio, (kind, contract) in PORTFOLIOS.items()}


def check_terms(arrays: RiskArrays, contracts: Contracts | None) -> list[Contract]:
    """What each contract is in the format: as given, else as its name says, else a future or an option of its month.

    Raises
    ------
    InputError
        Contracts that the format does not have.
    """
    terms, problems = [], []
    for i, name in enumerate(arrays.name):
        term = contracts[i] if contracts is not None and contracts.kind[i] else parse_name(name)
        if term is None or not term.kind:
            kind = "OOF" if arrays.option[i] else "FUT"
            term = Contract("MCVAR", arrays.commodity[arrays.of[i]], kind, arrays.month[i])
        if term.kind not in ELEMENT:
            problems.append(f"'{name}' is of type '{term.kind}': the format has {', '.join(ELEMENT)}")
        elif term.option != bool(arrays.option[i]):
            problems.append(f"'{name}' is of type {term.kind}, which is {'an' if term.option else 'no'} option")
        elif term.option and (term.right not in ("C", "P") or not np.isfinite(term.strike)):
            problems.append(f"the option '{name}' has no right and strike: give its contract")
        if any(not text.isprintable() or text != text.strip() for text in term[:6]):
            problems.append(f"the terms of '{name}' have control characters or blanks around them")
        terms.append(term)
    if problems:
        raise InputError("risk arrays to write", problems)
    return terms
