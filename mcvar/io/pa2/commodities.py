"""Records of `.pa2` files about combined commodities: definitions, tiers, spreads, delivery, scan ranges, prices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mcvar.columns import Columns
from mcvar.io.pa2.fields import Key, Line, Price, scaled
from mcvar.io.pa2.ranges import Ranges, read_ranges, widest
from mcvar.io.scan.file import COMMODITIES, DELIVERY, SPREADS, TIERS, Tables, rows

Row = tuple[int, dict[str, Any]]
_SIDES = {"A": "1", "B": "-1"}


@dataclass
class Owner:
    """A combined commodity, as far as its records have been read."""

    name: str
    line: int
    exchange: str
    currency: str
    risk_exponent: int
    exponent: dict[Key, int] = field(default_factory=dict)  # of the arrays of its products
    minimum: int = 0  # short option minimum
    ranges: list[Ranges] = field(default_factory=list)


@dataclass
class Commodities:
    """All records but those of single contracts."""

    problems: list[str]
    owners: dict[str, Owner] = field(default_factory=dict)
    of: dict[Key, Owner] = field(default_factory=dict)
    prices: dict[Key, Price] = field(default_factory=dict)
    scaling: dict[tuple[str, str, str, str, str], float] = field(default_factory=dict)
    calculated: list[tuple[int, Ranges]] = field(default_factory=list)
    tiers: dict[str, list[Row]] = field(default_factory=dict)  # within a commodity
    between: dict[str, list[Row]] = field(default_factory=dict)  # between commodities
    intra: list[Row] = field(default_factory=list)
    inter: list[tuple[int, str, int, list[dict[str, Any]]]] = field(default_factory=list)
    delivery: list[Row] = field(default_factory=list)
    minimums: list[tuple[int, str, int]] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)  # what is not carried

    def read(self, kind: str, line: Line) -> None:
        """One record."""
        getattr(self, f"_record_{kind}")(line)

    def notes(self) -> tuple[str, ...]:
        """What the records say and mcvar does not carry, and what was assumed."""
        return tuple(f"{what} ({count} records)" for what, count in sorted(self.said.items()))

    def extreme(self) -> tuple[float, float]:
        """Multiple and covered fraction of extreme moves, the commonest of the file; 2 and 0.35 where it says none."""
        pairs = Counter((r.extreme, r.covered) for _, r in self.calculated if r.extreme > 0)
        return pairs.most_common(1)[0][0] if pairs else (2.0, 0.35)

    def _record_0(self, line: Line) -> None:
        form = line.cut(35, 37)
        if form not in ("", "U2"):
            line.say(f"the format indicator is '{form}', not U2: only the expanded unpacked format is read")

    def _record_2(self, line: Line) -> None:
        exchange, name = line.cut(2, 5), line.cut(6, 12)
        exponent = line.whole(12, 13, "the risk exponent", 0)
        owner = self.owners.get(name)
        if owner is None:
            owner = Owner(name, line.number, exchange, line.cut(13, 16), exponent)
            self.owners[name] = owner
        elif owner.exchange != exchange:
            line.say(f"the combined commodity '{name}' of {exchange} is one of {owner.exchange} on line {owner.line}")
            return
        if exponent:
            self.said["the risk exponent of some commodities scales their arrays, not their charges"] += 1
        for at in range(22, 118, 16):
            product, kind = line.cut(at, at + 10), line.cut(at + 10, at + 13)
            if not product:
                continue
            places = line.whole(at + 13, at + 14, f"the decimal locator of {product}", 0)
            key = (exchange, product, kind)
            if self.of.setdefault(key, owner) is not owner:
                line.say(f"{' '.join(key)} is in the combined commodity '{self.of[key].name}' already")
            owner.exponent[key] = exponent - places * line.sign(at + 14, f"the decimal locator of {product}")

    def _record_3(self, line: Line) -> None:
        name = line.cut(2, 8)
        self.tiers.setdefault(name, []).extend(_tiers(line, name, 10, 4, 80))

    def _record_S(self, line: Line) -> None:
        name, method = line.cut(2, 8), line.cut(8, 10)
        if method in ("02", "10", "21", "22"):
            self.said["commodities that are scanned tier by tier are scanned as a whole"] += 1
        if method in ("20", "21", "23"):
            self.between.setdefault(name, []).extend(_tiers(line, name, 12, 5, 83))
        if method == "30":
            for at in range(105, 140, 7):
                self.minimums.append(
                    (line.number, name, line.whole(at, at + 7, "the short option minimum of a tier", 0))
                )
            self.said["short option minimums by tier: the highest holds for all"] += 1
        if line.cut(82, 83) in ("2", "3"):
            self.said[
                "weighted futures price risk with the price scan range (methods 2, 3): the ordinary one is taken"
            ] += 1

    def _record_4(self, line: Line) -> None:
        name, method = line.cut(2, 8), line.cut(8, 10)
        if method == "10":
            for at, day in ((12, 56), (34, 58)):
                _, month = line.month(at + 2, day)
                if month:
                    spread = line.whole(at + 8, at + 15, "the delivery charge of spreads")
                    outright = line.whole(at + 15, at + 22, "the delivery charge of outright deltas")
                    row = {"commodity": name, "month": month, "spread": spread, "outright": outright}
                    self.delivery.append((line.number, row))
        elif method == "11":
            self.said["basis risk charges (delivery method 11) are left out"] += 1
        self.minimums.append((line.number, name, line.whole(62, 69, "the short option minimum", 0)))
        if line.cut(78, 79) == "1":
            self.said["short option minimums of the greater of short calls and puts: all short options count"] += 1

    def _record_C(self, line: Line) -> None:
        name, priority = line.cut(2, 8), line.whole(10, 12, "the priority")
        charge, count = line.whole(14, 21, "the charge"), line.whole(12, 14, "the number of legs")
        if len(line.text) < 21 + 7 * count:
            line.say(f"a spread of {count} legs is cut off after {len(line.text)} columns")
            return
        for at in range(21, 21 + 7 * count, 7):
            leg = {
                "spread": f"{name} {priority} of line {line.number}", "kind": "intra", "priority": priority,
                "charge": charge, "commodity": name, "tier": line.whole(at + 2, at + 4, "the tier of a leg"),
                "ratio": line.whole(at + 4, at + 6, "the ratio of a leg"), "side": line.cut(at + 6, at + 7),
            }  # fmt: skip
            self.intra.append((line.number, leg))

    def _record_6(self, line: Line) -> None:
        method = line.cut(88, 90)
        if method in ("04", "4"):
            self.said["inter-commodity spreads by scanning (method 4) are left out"] += 1
            return
        if line.cut(100, 101) == "F":
            self.said["inter-commodity spreads with a flat credit are left out"] += 1
            return
        group, priority = line.cut(2, 5), line.whole(5, 9, "the priority")
        rate, own = line.decimal(9, 16, 6, "the credit rate"), line.cut(121, 122) == "Y"
        legs = []
        for i, at in enumerate(range(16, 88, 18)):
            if name := line.cut(at + 4, at + 10):
                legs.append({
                    "commodity": name, "ratio": line.decimal(at + 10, at + 17, 4, f"the ratio of leg {i + 1}"),
                    "side": line.cut(at + 17, at + 18), "tier": line.whole(101 + 2 * i, 103 + 2 * i, "the tier", 0),
                    "credit": line.decimal(122 + 7 * i, 129 + 7 * i, 6, "the credit rate") if own else rate,
                })  # fmt: skip
        self.inter.append((line.number, group, priority, legs))

    def _record_P(self, line: Line) -> None:
        key = (line.cut(2, 5), line.cut(5, 15), line.cut(15, 18))
        exponent = line.whole(73, 75, "the exponent of the contract value factor", 0)
        exponent *= -1 if line.cut(72, 73) == "-" else 1
        factor = scaled(line.whole(41, 55, "the contract value factor"), exponent - 7)
        places = line.locator(33, "the settlement price decimal locator")
        strike = line.locator(36, "the strike price decimal locator")
        form = Price(places, line.text[39:40].strip(), strike, factor, line.cut(65, 68), line.cut(116, 121) != "FUT")
        if self.prices.setdefault(key, form) != form:
            line.say(f"{' '.join(key)} has another record P, which differs: remove one")

    def _record_B(self, line: Line) -> None:
        ranges, months = read_ranges(line)
        if scaling := line.decimal(85, 91, 4, "the delta scaling factor", 0.0):
            self.scaling[(*ranges.key, *months)] = scaling
        self.calculated.append((line.number, ranges))

    def tables(self, source: str, arrays: Columns, price_scan: str, volatility: str, scale_rates: bool) -> Tables:
        """The tables of the file, with the risk arrays that were made of it."""
        for number, name, minimum in self.minimums:
            if name in self.owners:
                self.owners[name].minimum = max(self.owners[name].minimum, minimum)
            elif minimum:
                self.problems.append(
                    f"line {number}: the combined commodity '{name}' is unknown: no record 2 defines it"
                )
        for number, ranges in self.calculated:
            if ranges.key in self.of:
                self.of[ranges.key].ranges.append(ranges)
            else:
                self.problems.append(f"line {number}: {' '.join(ranges.key)} belongs to no combined commodity")
        factor = {name: 10.0**owner.risk_exponent for name, owner in self.owners.items() if scale_rates}
        found = [(o.line, self._commodity(o, factor, price_scan, volatility)) for o in self.owners.values()]
        for name, tiers in self.between.items():
            if name not in self.tiers:
                self.tiers[name] = tiers
        charges = {"charge": self.intra, "spread": self.delivery, "outright": self.delivery}
        for cell, listed in charges.items():
            for _, row in listed:
                row[cell] *= factor.get(row["commodity"], 1.0)
        intra = [(number, {**leg, "side": _SIDES.get(leg["side"], leg["side"])}) for number, leg in self.intra]
        return Tables(
            arrays=arrays,
            commodities=rows(source, COMMODITIES, found),
            tiers=rows(source, TIERS, [row for tiers in self.tiers.values() for row in tiers]),
            spreads=rows(source, SPREADS, [*intra, *self._between_commodities()]),
            delivery=rows(source, DELIVERY, self.delivery),
        )

    def _commodity(self, owner: Owner, factor: dict[str, float], price_scan: str, volatility: str) -> dict[str, object]:
        row: dict[str, object] = {"commodity": owner.name, "currency": owner.currency}
        row["short_option_minimum"] = owner.minimum * factor.get(owner.name, 1.0)
        if not owner.ranges:
            self.said["commodities without record B: their scan ranges are not known"] += 1
            return row
        cells, differ, ahead = widest(owner.ranges, self.prices, price_scan, volatility)
        if differ:
            self.said["scan ranges that differ by contract: the widest stands for the commodity"] += 1
        if ahead:
            self.said["look-aheads that differ by contract: the first future's stands for the commodity"] += 1
        return row | cells

    def _between_commodities(self) -> list[Row]:
        """Inter-commodity spreads; several groups count their priorities together."""
        groups = dict.fromkeys(group for _, group, _, _ in self.inter)
        order = sorted({(priority, list(groups).index(group)) for _, group, priority, _ in self.inter})
        shared = len({priority for priority, _ in order}) < len(order)
        rank = {key: number + 1 if shared else key[0] for number, key in enumerate(order)}
        if shared:
            self.said["priorities of several groups of inter-commodity spreads: numbered anew, ties by group"] += 1
        listed: list[Row] = []
        for number, group, priority, legs in self.inter:
            other = [leg["commodity"] for leg in legs if leg["tier"] and not self._same_tiers(leg["commodity"])]
            if other:
                self.said["inter-commodity spreads between tiers that are not those of the commodity are left out"] += 1
                continue
            head = {
                "spread": f"{group} {priority} of line {number}", "kind": "inter",
                "priority": rank[priority, list(groups).index(group)],
            }  # fmt: skip
            listed += [(number, {**head, **leg, "side": _SIDES.get(leg["side"], leg["side"])}) for leg in legs]
            if not legs:
                self.problems.append(f"line {number}: an inter-commodity spread without a leg")
        return listed

    def _same_tiers(self, name: str) -> bool:
        """Whether the tiers of inter-commodity spreads are those within the commodity."""
        own, other = self.tiers.get(name, []), self.between.get(name, [])
        return [row for _, row in own] == [row for _, row in other] or not other


def _tiers(line: Line, name: str, at: int, count: int, days: int) -> list[Row]:
    """Tiers of 14 columns each: number, first and last month; their day codes stand from column `days` on."""
    found = []
    for i in range(count):
        start = at + 14 * i
        if number := line.whole(start, start + 2, "the number of a tier", 0):
            _, first = line.month(start + 2, days + 4 * i)
            _, last = line.month(start + 8, days + 4 * i + 2)
            found.append((line.number, {"commodity": name, "tier": number, "first": first, "last": last}))
    return found
