"""What a regulator may publish for matching: a closed list of columns, and the rules that keep borrowers unknown.

A data set names columns of this list and nothing else, so no name, identifier, account, date or row number has a
place to stand. Values are small codes, flags, years, rates in steps, and amounts and counts as bands. Every column
except the institution and its answer is *quasi-identifying*: what an outsider may know of a borrower. Records must
agree in all of them at least K by K (k-anonymity, Sweeney 2002), the granted amount among them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from contracts.errors import ContractError
from contracts.neighbours import MAX_VALUE
from contracts.statistics import B

K: Final = 5  # least records that agree in every quasi-identifying column (DOMAIN 9)
LENDING, UNDERWRITING, PRODUCTS = "lending", "underwriting", "products"

_DECLARED = re.compile(r"[A-Z][A-Z0-9]{1,11}")
_CODE = re.compile(r"[A-Z0-9]{1,4}")


class Type(Enum):
    """What a column's values are; the value is the rule in words."""

    INSTITUTION = "a member's id, or a code of capital letters and digits that the data set declares"
    FLAG = "0 or 1"
    CODE = "1 to 4 capital letters or digits: a prefix of an industry code, a region"
    MONEY = "minor units of one currency as a band: two digits, the second 0 or 5, then zeros"
    BAND = "a whole number as a band: two digits, then zeros"
    YEAR = "a year from 1900 to 2199, no day or month"
    RATE = "basis points from 0 to 10000 in steps of 100"


class Column(NamedTuple):
    """A column of the closed list. quasi: an outsider may know it. log: compared by ratio, not by difference."""

    type: Type
    quasi: bool
    log: bool = False


FEATURES: Final[dict[str, Column]] = {
    "amount": Column(Type.MONEY, True, True),
    "employees": Column(Type.BAND, True, True),
    "age_years": Column(Type.BAND, True, True),
    "jobs_created": Column(Type.BAND, True, True),
    "jobs_retained": Column(Type.BAND, True, True),
    "tenor_months": Column(Type.BAND, True, True),
    "industry": Column(Type.CODE, True),
    "region": Column(Type.CODE, True),
    "line": Column(Type.CODE, True),
    "new_business": Column(Type.FLAG, True),
    "facility": Column(Type.CODE, True),
    "programme": Column(Type.CODE, True),
    "secured": Column(Type.FLAG, True),
    "urban": Column(Type.FLAG, True),
    "year": Column(Type.YEAR, True),
    "composite": Column(Type.RATE, True),
    "conformity": Column(Type.RATE, True),
    "timeliness": Column(Type.RATE, True),
    "accuracy": Column(Type.RATE, True),
    "truth": Column(Type.RATE, True),
    "qualification": Column(Type.RATE, True),
    "guarantee_share": Column(Type.RATE, True),
}
ANSWERS: Final[dict[str, dict[str, Column]]] = {
    LENDING: {
        "lender": Column(Type.INSTITUTION, False),
        "approved": Column(Type.FLAG, False),
        "limit": Column(Type.MONEY, True, True),
    },
    UNDERWRITING: {
        "insurer": Column(Type.INSTITUTION, False),
        "accepted": Column(Type.FLAG, False),
        "cover": Column(Type.MONEY, True, True),
        "rate_bp": Column(Type.RATE, False),
    },
}
REQUIRED: Final = {LENDING: ("lender", "limit"), UNDERWRITING: ("insurer", "accepted")}
INSTITUTION: Final = {LENDING: "lender", UNDERWRITING: "insurer"}

# Words in a column's name that say what it would give away: the refusal names the rule.
_GIVES_AWAY: Final = (
    (("name", "borrower", "debtor", "company", "enterprise", "customer", "person", "owner", "director"), "a name"),
    (("lei", "uscc", "vat", "tax", "duns", "passport", "ssn", "ein", "registration", "identifier"), "an identifier"),
    (("phone", "mobile", "fax", "email", "mail", "url", "website"), "a contact"),
    (("account", "iban", "bic", "card"), "an account"),
    (("date", "day", "month", "time", "birth"), "an exact date"),
    (("id", "row", "number", "no", "key", "uuid", "index", "ref", "reference"), "a row or document number"),
    (("address", "street", "zip", "postcode", "city", "town", "latitude", "longitude"), "a place"),
    (("note", "comment", "text", "description", "remark", "purpose"), "free text"),
)


def columns_of(kind: str) -> dict[str, Column]:
    """The closed list of a kind of data set. Raises ContractError WRONG_DATASET."""
    if kind not in ANSWERS:
        raise ContractError("WRONG_DATASET", f"kind {kind!r}: use {', '.join([*ANSWERS, PRODUCTS])}")
    return {**ANSWERS[kind], **FEATURES}


def column(kind: str, name: str) -> Column:
    """A column by its name. Raises ContractError IDENTIFYING_COLUMN or UNKNOWN_COLUMN naming column and rule."""
    known = columns_of(kind)
    if name in known:
        return known[name]
    what = gives_away(name)
    if what is not None:
        raise ContractError(
            "IDENTIFYING_COLUMN", f"column {name[:40]!r} would publish {what}: leave it out, no such column is taken"
        )
    raise ContractError("UNKNOWN_COLUMN", f"column {name[:40]!r} is not among {', '.join(sorted(known))}")


def gives_away(name: str) -> str | None:
    """What a column of this name would give away, or None where the name does not say."""
    words = set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    return next((what for signs, what in _GIVES_AWAY if words & set(signs)), None)


def band(value: int, step: int = 1) -> int:
    """The nearest band of a value >= 0, half up: two leading digits, the second a multiple of step (1 or 5)."""
    scale = 1
    while value >= 100 * scale:
        scale *= 10
    unit = step * scale if value >= 10 else 1
    return (value + unit // 2) // unit * unit


def coarse(column: Column, value: int) -> int:
    """A value >= 0 of a column as it may be published: its nearest band or step."""
    if column.type is Type.MONEY:
        return band(value, 5)
    if column.type is Type.BAND:
        return band(value)
    return (value + 50) // 100 * 100 if column.type is Type.RATE else value


def check_value(name: str, column: Column, value: int) -> None:
    """A number of a column. Raises ContractError ABSURD_VALUE or NOT_GENERALISED naming column and rule.

    The value is not repeated: a refusal by the contract stands on the chain for good.
    """
    kind = column.type
    if not 0 <= value <= MAX_VALUE or (kind is Type.FLAG and value > 1) or (kind is Type.RATE and value > B):
        raise ContractError("ABSURD_VALUE", f"column {name!r} holds a value out of bounds: write {kind.value}")
    if kind is Type.YEAR and not 1900 <= value <= 2199:
        raise ContractError("ABSURD_VALUE", f"column {name!r} holds what is no year: write {kind.value}")
    if coarse(column, value) != value:
        raise ContractError("NOT_GENERALISED", f"column {name!r} holds an exact value: write {kind.value}")


def check_code(name: str, column: Column, code: str) -> None:
    """A code of a column. Raises ContractError FREE_TEXT naming column and rule; the text is not repeated."""
    if column.type is Type.CODE and _CODE.fullmatch(code) is None:
        raise ContractError("FREE_TEXT", f"column {name!r} holds text or a long code: write {column.type.value}")


def is_declared(code: str) -> bool:
    """Whether a code has the form of a declared institution: never that of a member's id, an LEI or a name."""
    return _DECLARED.fullmatch(code) is not None


def check_groups(names: Sequence[str], rows: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """k-anonymity: rows (of the quasi-identifying columns only) agree at least K by K; gives (groups, smallest).

    Raises ContractError GROUP_TOO_SMALL with sizes only: a record is never repeated.
    """
    sizes = Counter(rows)
    smallest = min(sizes.values())
    if smallest < K:
        lone = sum(size for size in sizes.values() if size < K)
        raise ContractError(
            "GROUP_TOO_SMALL",
            f"the smallest group has {smallest} records where {K} must agree in {', '.join(names)}; {lone} records "
            "are in groups below that: generalise them (tally match prepare)",
        )
    return len(sizes), smallest
