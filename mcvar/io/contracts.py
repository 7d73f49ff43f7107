"""One name for each contract of a clearing house's file, so that positions can name it.

A contract of a file is known by its exchange, product, type, months, right and strike; positions name instruments. The
name joins the fields with colons, the strike with no more digits than it needs:

* `CBT:06:FUT:202507`: exchange, product, type (`FUT`, `PHY`, `CMB`, ...), month ("" for what has none);
* `CBT:06:OOF:202507:202507:C:145`: of an option (its type starts with `OO`) also its own month, `C` or `P`, the strike.

Months are YYYYMM with the file's day or week code behind it where there is one. A colon in a code is written `%3A`, a
per cent sign `%25`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcvar.columns import Columns

Floats = NDArray[np.float64]
_RIGHTS = {"call": "C", "put": "P"}


class Contract(NamedTuple):
    """What a contract is; strike NaN and the fields of options "" where it is none."""

    exchange: str
    product: str
    kind: str
    month: str = ""
    option_month: str = ""
    right: str = ""
    strike: float = math.nan

    @property
    def option(self) -> bool:
        """Whether its type is one of options: OOF (on futures), OOP (on physicals), OOC (on combinations), ..."""
        return self.kind.startswith("OO")


@dataclass(frozen=True)
class Contracts:
    """What the I contracts of a file are, beside their risk arrays.

    Parameters
    ----------
    exchange, product, kind, month, option_month, right : tuple of str [I]
        As in `Contract`.
    strike : ndarray [I]
        NaN where there is none.
    price : ndarray [I]
        Settlement price as quoted, NaN where it is not known.
    volatility : ndarray [I]
        Implied volatility, as the file gives it; NaN where it gives none.
    """

    exchange: tuple[str, ...]
    product: tuple[str, ...]
    kind: tuple[str, ...]
    month: tuple[str, ...]
    option_month: tuple[str, ...]
    right: tuple[str, ...]
    strike: Floats
    price: Floats
    volatility: Floats

    def __len__(self) -> int:
        """I."""
        return len(self.exchange)

    def __getitem__(self, i: int) -> Contract:
        """The contract at i."""
        head = Contract(
            self.exchange[i], self.product[i], self.kind[i], self.month[i], self.option_month[i], self.right[i]
        )
        return head._replace(strike=float(self.strike[i]))

    @classmethod
    def of(
        cls, contracts: Sequence[Contract], price: Sequence[float] = (), volatility: Sequence[float] = ()
    ) -> Contracts:
        """Columns of single contracts; prices and volatilities are NaN where not given."""
        unknown = np.full(len(contracts), np.nan)
        return cls(
            exchange=tuple(c.exchange for c in contracts),
            product=tuple(c.product for c in contracts),
            kind=tuple(c.kind for c in contracts),
            month=tuple(c.month for c in contracts),
            option_month=tuple(c.option_month for c in contracts),
            right=tuple(c.right for c in contracts),
            strike=np.array([c.strike for c in contracts], dtype=np.float64),
            price=np.asarray(price, dtype=np.float64) if len(price) else unknown,
            volatility=np.asarray(volatility, dtype=np.float64) if len(volatility) else unknown,
        )


def name_of(contract: Contract) -> str:
    """The one name of a contract.

    Examples
    --------
    >>> name_of(Contract("CBT", "06", "OOF", "202507", "202507", "C", 145.0))
    'CBT:06:OOF:202507:202507:C:145'
    """
    fields = [contract.exchange, contract.product, contract.kind, contract.month]
    if contract.option:
        fields += [contract.option_month, contract.right, number_text(contract.strike)]
    return ":".join(field.replace("%", "%25").replace(":", "%3A") for field in fields)


def parse_name(name: str) -> Contract | None:
    """What a name says, or None where it is not one that `name_of` gives.

    Examples
    --------
    >>> parse_name("CBT:06:FUT:202507").month, parse_name("BTC-PERPETUAL")
    ('202507', None)
    """
    fields = [field.replace("%3A", ":").replace("%25", "%") for field in name.split(":")]
    if len(fields) not in (4, 7):
        return None
    contract = Contract(fields[0], fields[1], fields[2], fields[3])
    if len(fields) == 7:
        try:
            strike = float(fields[6]) if fields[6] else math.nan
        except ValueError:
            return None
        contract = contract._replace(option_month=fields[4], right=fields[5], strike=strike)
    return contract if name_of(contract) == name else None


def number_text(number: float) -> str:
    """The shortest decimal number that reads back exactly, without an exponent; "" for NaN."""
    return "" if math.isnan(number) else str(np.format_float_positional(number + 0.0, trim="-"))


def described(names: Sequence[str], instruments: Columns, exchange: str = "MCVAR") -> Contracts:
    """Contracts of mcvar's own instruments, for `mcvar.io.spn.write`: their terms as in the instruments' file.

    Parameters
    ----------
    names : sequence of str
        Of the risk arrays.
    instruments : Columns
        `instrument, kind, underlying` and, of options, `option_type, strike`; `expiry` gives the month. An
        instrument that is not in it, or whose cells are blank, is left without terms. A touch, which has neither type
        nor strike, is a call (`up`) or a put (`down`) at its barrier: the format has no other option.
    """
    row = {name: i for i, name in enumerate(instruments.texts("instrument"))}
    ignored: list[str] = []  # whoever prices the instruments has checked them
    cells = {name: instruments.texts(name) for name in ("kind", "underlying", "option_type", "barrier_type")}
    strike, expiry = instruments.floats("strike", ignored), instruments.times("expiry", ignored)
    barrier = instruments.floats("barrier", ignored)
    contracts = []
    for name in names:
        if (i := row.get(name, -1)) < 0:
            contracts.append(Contract(exchange, name, ""))
            continue
        month = "" if np.isnat(expiry[i]) else str(expiry[i])[:10].replace("-", "")
        right = _RIGHTS.get(cells["option_type"][i], "")
        level = float(strike[i])
        if not right and cells["kind"][i] == "digital":
            right, level = ("C" if cells["barrier_type"][i].startswith("up") else "P"), float(barrier[i])
        if right:
            contracts.append(Contract(exchange, cells["underlying"][i], "OOF", month, month, right, level))
        else:
            kind = "PHY" if cells["kind"][i] in ("spot", "cash") else "FUT"
            contracts.append(Contract(exchange, cells["underlying"][i] or name, kind, month))
    return Contracts.of(contracts)
