"""Families of contracts: what is neither linear in the price nor a European option. One a file, and this table."""

from mcvar.families.american import american_family, never_exercised, tabulated
from mcvar.families.asian import ASIAN
from mcvar.families.barrier import BARRIER, touched_today
from mcvar.families.digital import DIGITAL
from mcvar.families.family import Clock, Family, Watch
from mcvar.instruments import Kind

FAMILIES: dict[Kind, Family] = {Kind.digital: DIGITAL, Kind.barrier: BARRIER, Kind.asian: ASIAN}

__all__ = ["FAMILIES", "Clock", "Family", "Watch", "american_family", "never_exercised", "tabulated", "touched_today"]
