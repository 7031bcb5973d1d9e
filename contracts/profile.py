"""What an enterprise looks like to matching: the features of market_schema.py, from its assessment and its papers.

Each feature comes from one place, given beside it; where that place is silent the feature is not known (None), and
the search leaves it out for everybody. Nothing is filled in.
"""

from __future__ import annotations

from typing import Any, Final

from contracts import standing
from contracts.context import Context
from contracts.decimal_text import DecimalError, floor_at_scale, parse
from contracts.documents import Document
from contracts.errors import ContractError
from contracts.evidence import Enterprise, Reader
from contracts.market_schema import FEATURES, Type
from contracts.neighbours import MAX_VALUE
from contracts.record import SECONDS_PER_DAY, civil_from_days, moment
from contracts.statistics import B

RATINGS: Final = ("conformity", "timeliness", "accuracy", "truth")
NEW_UNTIL_YEARS: Final = 2

Profile = dict[str, int | str | None]


def of(
    ctx: Context, reader: Reader, enterprise: Enterprise, contract: Document, assessment: dict[str, Any]
) -> Profile:
    """Every feature of an enterprise: numbers in the units of its column, codes as they stand in its papers."""
    now = ctx.time // 1_000
    papers = tuple(doc for doc in reader.standing(enterprise) if doc.category == "qualification")
    qualification = standing.current_qualification(papers, now)
    found: Profile = {name: _stated(qualification, name) for name in FEATURES}
    net = _step(assessment, "contract_net")
    backed = _step(assessment, "from_guarantees")
    age = _age_years(qualification, now)
    found |= {
        "amount": net,  # C', minor units
        "guarantee_share": None
        if not net or backed is None
        else min(B, B * backed // net),  # guarantees after haircut
        "composite": assessment["composite"],
        "qualification": assessment["qualification"],  # q
        "tenor_months": _tenor_months(contract),  # of the contract's period
        "age_years": age,  # since established_on
        "new_business": None if age is None else int(age < NEW_UNTIL_YEARS),
        "year": civil_from_days(now // SECONDS_PER_DAY)[0],
    }
    found |= {name: assessment["ratings"].get(name, {}).get("points") for name in RATINGS}  # their points, in bp
    if found["region"] is None:
        found["region"] = _code(qualification, "country")
    return found


def _stated(doc: Document | None, name: str) -> int | str | None:
    """An open field of the qualification record that is called like the feature."""
    if FEATURES[name].type is Type.CODE:
        return _code(doc, name)
    if doc is None or not doc.text(name):
        return None
    try:
        value = floor_at_scale(parse(doc.text(name)), 0)
    except DecimalError:
        return None
    return value if 0 <= value <= MAX_VALUE else None


def _code(doc: Document | None, name: str) -> str | None:
    """A code as data sets write it: capital letters and digits only; its prefix is looked up there."""
    text = "" if doc is None else doc.text(name)
    code = "".join(character for character in text.upper() if character.isascii() and character.isalnum())
    return code or None


def _step(assessment: dict[str, Any], name: str) -> int | None:
    """The value of a step of the assessment's working, None where it was not reached."""
    return next((step["value"] for step in assessment["steps"] if step["name"] == name), None)


def _tenor_months(contract: Document) -> int | None:
    """Whole months from the contract's start to its end, rounded up, at least 1."""
    start, end = _day(contract, "period_start") or _day(contract, "date_signed"), _day(contract, "period_end")
    if start is None or end is None or end < start:
        return None
    (year, month, day), (last_year, last_month, last_day) = civil_from_days(start), civil_from_days(end)
    return max(1, (last_year - year) * 12 + last_month - month + (last_day > day))


def _age_years(doc: Document | None, now: int) -> int | None:
    established = None if doc is None else _day(doc, "established_on")
    if established is None or established * SECONDS_PER_DAY > now:
        return None
    (year, month, day), today = civil_from_days(established), civil_from_days(now // SECONDS_PER_DAY)
    return today[0] - year - ((today[1], today[2]) < (month, day))


def _day(doc: Document, field: str) -> int | None:
    """Days from 1970 to a date of a document; None for what is no date."""
    try:
        return moment(doc.text(field)).first // SECONDS_PER_DAY
    except ContractError:
        return None
