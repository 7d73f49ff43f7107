"""Combined commodities of `.spn` files: definitions, links to portfolios, tiers, spreads, delivery, minimums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcvar.columns import Columns
from mcvar.io.scan.file import COMMODITIES, DELIVERY, SPREADS, TIERS, Tables, month_of, published_years, rows
from mcvar.io.spn.definition import Definition, Owner, Row
from mcvar.io.spn.fields import Conventions, number, read_note
from mcvar.io.xml_stream import Element

_LEFT_OUT = {
    "hSpread": "spreads by scanning", "sSpread": "super spreads", "clearSpread": "spreads between clearing houses",
}  # fmt: skip
_SIDES = {"A": "1", "B": "-1"}


@dataclass
class Commodities:
    """All records but contracts and scan points."""

    problems: list[str]
    rules: Conventions
    definitions: dict[int, Definition] = field(default_factory=dict)
    links: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=dict)  # exchange and number
    inter: list[Element] = field(default_factory=list)
    owners: dict[int, Owner | None] = field(default_factory=dict)
    said: Counter[str] = field(default_factory=Counter)
    house: dict[str, Any] = field(default_factory=dict)  # what mcvar says of the whole file

    def notes(self) -> tuple[str, ...]:
        """What the file says and mcvar does not carry."""
        return tuple(f"{what} ({count} times)" for what, count in sorted(self.said.items()))

    def record(self, element: Element, around: list[Element]) -> None:
        """An element of a commodity, or of the spreads between them."""
        held = next((e for e in around if e.tag == "ccDef"), None)
        house = next((e for e in around if e.tag == "clearingOrg"), None)
        self._note_of(around)
        if element.tag in _LEFT_OUT:
            self.said[f"{_LEFT_OUT[element.tag]} are left out"] += 1
        elif held is None:
            if element.tag == "dSpread" and around[-1].tag == "interSpreads":
                self.inter.append(element)
        else:
            self._of(self.definitions.setdefault(id(held), Definition(held, house)), element, around[-1].tag)

    def _note_of(self, around: list[Element]) -> None:
        for element in around:
            if element.tag == "clearingOrg" and element.note and not self.house:
                self.house = read_note(element.note) or {}

    def _of(self, definition: Definition, element: Element, where: str) -> None:
        tag, line = element.tag, element.line
        if tag == "pfLink":
            scale = self._number(element, "sc", 1.0)
            key = (element.text("exch"), element.text("pfId"))
            self.links.setdefault(key, []).append((id(definition.element), scale))
        elif tag == "tier" and where in ("intraTiers", "interTiers"):
            if (text := element.text("tn")) not in ("", "0"):
                first, last = (self._month(element.text(p), line) for p in ("sPe", "ePe"))
                row = {"tier": text, "first": first, "last": last}
                (definition.tiers if where == "intraTiers" else definition.between).append((line, row))
        elif tag == "tier" and where == "somTiers":
            definition.minimum += [self._number(rate, "val", 0.0) for rate in self._rates(element)]
        elif tag == "dSpread":
            definition.spreads.append(element)
        elif tag == "spotRate" and element.text("r", "1") == str(self.rules.rate):
            row = {"month": self._month(element.text("pe"), line), "spread": element.text("sprd")}
            definition.delivery.append((line, {**row, "outright": element.text("outr")}))

    def owner(self, portfolio: Element, exchange: str, line: int) -> Owner | None:
        """The commodity of a portfolio, or None and a problem."""
        if id(portfolio) not in self.owners:
            self.owners[id(portfolio)] = self._owner(portfolio, exchange, line)
        return self.owners[id(portfolio)]

    def _owner(self, portfolio: Element, exchange: str, line: int) -> Owner | None:
        code, number_ = portfolio.text("pfCode"), portfolio.text("pfId")
        linked = self.links.get((exchange, number_)) or self.links.get(("", number_)) or []
        if not linked:  # a file without links: the commodity has the name of the product
            linked = [(id_, 1.0) for id_, d in self.definitions.items() if d.name == code and code]
        if len({id_ for id_, _ in linked}) != 1:
            said = "belongs to several combined commodities" if linked else "belongs to no combined commodity"
            self.problems.append(f"line {portfolio.line}: the portfolio '{code[:60]}' (pfId {number_[:20]}) {said}")
            return None
        definition, scale = self.definitions[linked[0][0]], linked[0][1]
        exponent = number(definition.element.text("riskExponent", "0"))
        if exponent is None or not -18 <= exponent <= 18:
            self.problems.append(
                f"line {definition.element.line}: riskExponent of '{definition.name[:60]}' is no exponent"
            )
            exponent = 0
        if exponent and not self.rules.risk_exponent:
            self.said["a risk exponent that is not 0 is not applied to the arrays"] += 1
        return Owner(definition.name, definition.currency, int(exponent), scale if scale > 0 else 1.0)

    def tables(self, source: str, arrays: Columns, scans: Mapping[tuple[int, str], tuple[float, float]]) -> Tables:
        """The tables of the file, with the risk arrays that were made of it and the scan ranges of its portfolios."""
        wide = self._widest(scans)
        found, tiers, delivery, spreads = [], [], [], []
        for definition in self.definitions.values():
            element, name = definition.element, definition.name
            said = read_note(element.note)
            if said is None:
                self.problems.append(f"line {element.line}: the mcvar instruction is none that mcvar writes: remove it")
            meth = element.text("somMeth", "GROSS")
            row = {
                "commodity": name,
                "currency": definition.currency,
                "short_option_minimum": 0.0,
                **({} if said else wide.get(name, {})),
            }
            if definition.minimum:
                row["short_option_minimum"] = max(definition.minimum)
            if len(set(definition.minimum)) > 1:
                self.said["short option minimums by tier: the highest holds for all"] += 1
            if not said:
                row["short_netted"] = str(meth == "NET").lower()
                row["lookahead"] = self._ahead(definition.house)
                if meth not in ("GROSS", "NET", ""):
                    self.said[f"the short option minimum method {meth[:20]}: all short options count"] += 1
                if "price_range" not in row:
                    self.said["commodities without a price scan range: it is not known"] += 1
            known = {key: value for key, value in (said or {}).items() if key in COMMODITIES[2:] and value is not None}
            found.append((element.line, {**row, **{k: _cell(v) for k, v in known.items()}}))
            own, legs = self._within(definition)
            tiers += [(line, {"commodity": name, **tier}) for line, tier in own]
            spreads += legs
            delivery += [(line, {"commodity": name, **cells}) for line, cells in definition.delivery]
        for element in self.inter:
            spreads += self._between(element)
        return Tables(
            arrays=arrays,
            commodities=rows(source, COMMODITIES, found),
            tiers=rows(source, TIERS, tiers),
            spreads=rows(source, SPREADS, spreads),
            delivery=rows(source, DELIVERY, delivery),
        )

    def _ahead(self, house: Element | None) -> float:
        """Years until the scenarios' prices, as the clearing organization says; NaN where it does not."""
        if house is None:
            return np.nan
        years = published_years(self._number(house, "lookAheadYears", np.nan))
        if years < 0:
            self.problems.append(f"line {house.line}: lookAheadYears {years:g} is negative: correct it")
            return np.nan
        return years

    def _widest(self, scans: Mapping[tuple[int, str], tuple[float, float]]) -> dict[str, dict[str, Any]]:
        """Cells for each commodity: the widest ranges of its contracts, absolute ones before those in per cent."""
        unit = 100.0 if self.rules.percent else 1.0
        wide: dict[str, dict[str, tuple[float, float]]] = {}
        for (portfolio, tag), (low, high) in scans.items():
            if owner := self.owners.get(portfolio):
                own = wide.setdefault(owner.name, {})
                before = own.get(tag, (low, high))
                own[tag] = min(low, before[0]), max(high, before[1])
        cells: dict[str, dict[str, Any]] = {}
        for name, own in wide.items():
            row = cells.setdefault(name, {"volatility_range": 0.0})
            for field_, flag, tag in (("price_range", "relative", "priceScan"),
                                      ("volatility_range", "relative_volatility", "volScan")):  # fmt: skip
                part = tag not in own
                if size := own.get(f"{tag}Pct" if part else tag):
                    row[field_], row[flag] = size[1] / (unit if part else 1.0), str(part).lower()
                    if size[0] < size[1]:
                        self.said["scan ranges that differ by contract: the widest stands for the commodity"] += 1
        return cells

    def _within(self, definition: Definition) -> tuple[list[Row], list[Row]]:
        """Tiers and spreads of one commodity; legs that name periods get a tier for each."""
        tiers = definition.tiers or definition.between
        listed: list[Row] = []
        periods: dict[str, int] = {}
        for element in definition.spreads:
            if element.all("pLeg") and tiers:
                line = element.line
                self.problems.append(f"line {line}: spreads of '{definition.name[:60]}' name both tiers and periods")
                continue
            if (method := element.text("chargeMeth", "F")) != "F" or element.all("dSpread"):
                self.said[f"intra-commodity spreads by the method {method[:20]} are left out"] += 1
                continue
            for leg in element.all("pLeg"):
                periods.setdefault(leg.text("pe"), len(periods) + 1)
            rate = self._rates(element)
            row = {"kind": "intra", "charge": rate[0].text("val") if rate else "0"}
            listed += self._legs(element, row, definition.name, periods)
        if periods:
            line = definition.element.line
            months = [(n, self._month(pe, line)) for pe, n in periods.items()]
            return [(line, {"tier": n, "first": m, "last": m}) for n, m in months], listed
        return tiers, listed

    def _between(self, element: Element) -> list[Row]:
        if element.text("chargeMeth") == "F" or element.all("dSpread"):
            self.said["inter-commodity spreads with a flat credit are left out"] += 1
            return []
        if element.all("pLeg"):
            self.said["inter-commodity spreads between single periods are left out"] += 1
            return []
        for leg in element.all("tLeg"):
            owner = next((d for d in self.definitions.values() if d.name == leg.text("cc")), None)
            both = owner is not None and owner.tiers and owner.between
            if leg.text("tn", "0") != "0" and owner and both and not _same(owner):
                self.said["inter-commodity spreads between tiers that are not those of the commodity are left out"] += 1
                return []
        rate = self._rates(element)
        credit: object = rate[0].text("val") if rate else ""
        if rate and (value := number(rate[0].text("val"))) is not None:
            if self.rules.credits == "percent":
                credit = value / 100.0
            elif value > 1:
                line = rate[0].line
                self.problems.append(f"line {line}: the credit rate {value:g} is above 1: is it in per cent (credits)?")
                return []
        return self._legs(element, {"kind": "inter", "credit": credit}, "", {})

    def _legs(self, element: Element, row: dict[str, Any], own: str, periods: dict[str, int]) -> list[Row]:
        """The rows of one spread."""
        said = read_note(element.note)
        if said is None:
            self.problems.append(f"line {element.line}: the mcvar instruction is none that mcvar writes: remove it")
        legs = [*element.all("tLeg"), *element.all("pLeg")]
        priority = element.text("spread")
        row = {**row, "spread": f"{own} {priority[:20]} of line {element.line}".strip(), "priority": priority}
        if said and "charge" in said:
            row["charge"] = _cell(said["charge"])
        credits_ = said.get("credits") if said else None
        listed: list[Row] = []
        if not legs:
            self.problems.append(f"line {element.line}: a spread without a leg")
        for i, leg in enumerate(legs):
            cells = {
                **row, "commodity": leg.text("cc") or own, "ratio": leg.text("i"),
                "side": _SIDES.get(leg.text("rs"), leg.text("rs") or "?"),
                "tier": periods.get(leg.text("pe"), 0) if leg.tag == "pLeg" else leg.text("tn", "0"),
            }  # fmt: skip
            if isinstance(credits_, list) and i < len(credits_):
                cells["credit"] = _cell(credits_[i])
            listed.append((leg.line, cells))
        return listed

    def _rates(self, element: Element) -> list[Element]:
        """The rate that the conventions choose, or the only one."""
        rates = element.all("rate")
        return [rate for rate in rates if rate.text("r", "1") == str(self.rules.rate)][:1] or rates[:1]

    def _number(self, element: Element, tag: str, default: float) -> float:
        found = number(element.text(tag))
        if found is None:
            self.problems.append(f"line {element.line}: {tag} '{element.text(tag)[:60]}' is not a finite number")
            return default
        return default if found != found else found

    def _month(self, code: str, line: int) -> str:
        if (month := month_of(code)) is None:
            self.problems.append(f"line {line}: '{code[:20]}' is not a contract month YYYYMM or YYYYMMDD")
            return ""
        return month


def _same(definition: Definition) -> bool:
    return [row for _, row in definition.tiers] == [row for _, row in definition.between]


def _cell(value: object) -> object:
    """A cell of a table for a value of a note."""
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str | int | float) else "?"
