"""A record: what a member's chain is made of. Its form, its identity and its dates; no state here.

    ["tally/record", 1, kind, issuer, number, enterprise, counterparty, template, template_version,
     occurred_at, links, source, fields, sealed_root, corrects]

Natural key: (kind, issuer, number). Record id: sha256 over the canonical bytes. Content hash: the same with the
capture time set to 0, so that one document taken in twice is one record (DESIGN.md, "A record").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from contracts.context import Value
from contracts.errors import ContractError

TAG: Final = "tally/record"
VERSION: Final = 1

MAX_NAME: Final = 32  # characters of a kind, relation, field or template name
MAX_IDENTIFIER: Final = 256  # characters of an issuer, number, party
MAX_LINKS: Final = 64
MAX_FIELDS: Final = 64
MAX_TEXT: Final = 4_096  # characters of one field
MAX_LINES: Final = 1_000
MAX_CHARACTERS: Final = 262_144  # of all fields together

LINE_COLUMNS: Final = ("line_id", "item_id", "quantity", "unit", "price", "amount")
SECONDS_PER_DAY: Final = 86_400

# Types of a record's parts, all but the two last, and of its source: compared at once.
_TYPES: Final = (str, int, str, str, str, str, str, str, int, str, list, list, dict)
_SOURCE_TYPES: Final = (str, str, str, bytes, int)
_TEXT: Final = frozenset({str})

NaturalKey: TypeAlias = tuple[str, str, str]
FieldValue: TypeAlias = str | list[list[str]]


class Source(NamedTuple):
    """Where a record came from."""

    system: str
    connector: str
    connector_version: str
    raw_hash: bytes  # sha256 of the raw file
    captured_at: int  # ms


class Record(NamedTuple):
    """A record whose form has been checked; its fields are still to be held against a template."""

    kind: str
    issuer: str
    number: str
    enterprise: str
    counterparty: str
    template: str
    template_version: int
    occurred_at: str
    links: list[list[str]]
    source: Source
    fields: dict[str, FieldValue]
    sealed_root: bytes | None
    corrects: bytes | None

    @property
    def natural_key(self) -> NaturalKey:
        return (self.kind, self.issuer, self.number)


class Moment(NamedTuple):
    """First and last possible second of an event, UTC seconds; equal when the time of day is known."""

    first: int
    last: int


def parse(array: Value) -> Record:
    """Check the form of a decoded record array.

    Raises ContractError MALFORMED_RECORD for a wrong shape, RECORD_TOO_LARGE past a limit of this module.
    """
    if type(array) is not list or tuple(map(type, array))[:-2] != _TYPES or len(array) != 15:
        raise _wrong_shape(array)
    (tag, version, kind, issuer, number, enterprise, counterparty, template, template_version,
     occurred_at, links, source, fields, sealed_root, corrects) = array  # fmt: skip
    if (
        tag != TAG
        or version != VERSION
        or not 0 < len(kind) <= MAX_NAME
        or not 0 < len(issuer) <= MAX_IDENTIFIER
        or not 0 < len(number) <= MAX_IDENTIFIER
        or not 0 < len(enterprise) <= MAX_IDENTIFIER
        or len(counterparty) > MAX_IDENTIFIER
        or not 0 < len(template) <= MAX_NAME
        or template_version < 1
        or not (sealed_root is None or (type(sealed_root) is bytes and len(sealed_root) == 32))
        or not (corrects is None or (type(corrects) is bytes and len(corrects) == 32))
    ):
        raise _wrong_shape(array)
    if links:
        _check_links(links)
    _check_fields(fields)
    return Record(
        kind, issuer, number, enterprise, counterparty, template, template_version,
        occurred_at, links, _source(source), fields, sealed_root, corrects,
    )  # fmt: skip


def _wrong_shape(array: Value) -> ContractError:
    """What is wrong with an array that is no record, one part at a time."""
    if type(array) is not list or len(array) != 15 or array[0] != TAG or type(array[1]) is not int or array[1] != 1:
        return _malformed(f"a record is an array of 15 that starts with {TAG!r}, {VERSION}")
    for place, what, most in (
        (2, "kind", MAX_NAME),
        (3, "issuer", MAX_IDENTIFIER),
        (4, "number", MAX_IDENTIFIER),
        (5, "enterprise", MAX_IDENTIFIER),
        (7, "template", MAX_NAME),
    ):
        if type(array[place]) is not str or not 0 < len(array[place]) <= most:
            return _malformed(f"{what} is text of 1 to {most} characters")
    if type(array[6]) is not str or len(array[6]) > MAX_IDENTIFIER:
        return _malformed(f"counterparty is text of 0 to {MAX_IDENTIFIER} characters")
    if type(array[8]) is not int or array[8] < 1:
        return _malformed("template_version is an integer from 1")
    if type(array[9]) is not str:
        return _malformed("occurred_at is text")
    if type(array[10]) is not list:
        return _malformed("links is a list of [relation, issuer, number]")
    if type(array[11]) is not list:
        return _malformed("source is [system, connector, connector_version, raw_hash, captured_at]")
    if type(array[12]) is not dict:
        return _malformed("fields is a map from name to text or lines")
    return _malformed("sealed_root and corrects are 32 bytes or none")


def content_hash(array: list[Value], hash_value: Callable[[Value], bytes]) -> bytes:
    """Identity of a record's content, 32 bytes: its capture time does not count.

    array: a record array that `parse` has accepted. hash_value: sha256 over canonical encoding.
    """
    source = array[11]
    timeless = array.copy()
    timeless[11] = [source[0], source[1], source[2], source[3], 0]
    return hash_value(timeless)


_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(r"T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])Z")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@lru_cache(maxsize=4_096)
def moment(text: str, time_zone_minutes: int = 0) -> Moment:
    """Read "YYYY-MM-DD" (a day of the time zone, minutes east of UTC) or "YYYY-MM-DDTHH:MM:SSZ" (UTC).

    A date alone spans from the day's first second to its end, 24:00 (DOMAIN 2). Raises ContractError WRONG_DATE.
    """
    match = _DATE.fullmatch(text)
    if match is not None:
        first = _days(text, *map(int, match.groups())) * SECONDS_PER_DAY - time_zone_minutes * 60
        return Moment(first, first + SECONDS_PER_DAY)
    match = _CLOCK.fullmatch(text, 10)
    if match is None:
        raise _wrong_date(text)
    hour, minute, second = match.groups()
    midnight = moment(text[:10]).first
    instant = midnight + int(hour) * 3_600 + int(minute) * 60 + int(second)
    return Moment(instant, instant)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a Gregorian date; the date must exist. Years start in March, so leap days come last."""
    if month <= 2:
        year -= 1
        month += 12
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a day count from 1970-01-01: the inverse of `days_from_civil`."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return era * 400 + year_of_era + (1 if month <= 2 else 0), month, day


def _days(text: str, year: int, month: int, day: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= _MONTH_DAYS[month - 1] + (leap and month == 2):
        raise _wrong_date(text)
    return days_from_civil(year, month, day)


def _source(source: list[Value]) -> Source:
    if tuple(map(type, source)) != _SOURCE_TYPES:
        raise _malformed("source is [system, connector, connector_version, raw_hash, captured_at]")
    system, connector, connector_version, raw_hash, captured_at = source
    for value in (system, connector, connector_version):
        if not 0 < len(value) <= MAX_IDENTIFIER:
            raise _malformed(f"source names are text of 1 to {MAX_IDENTIFIER} characters")
    if len(raw_hash) != 32:
        raise _malformed("source raw_hash is 32 bytes")
    if captured_at < 0:
        raise _malformed("source captured_at is a non-negative integer of milliseconds")
    return Source(system, connector, connector_version, raw_hash, captured_at)


def _check_links(links: list[Value]) -> None:
    if len(links) > MAX_LINKS:
        raise ContractError("RECORD_TOO_LARGE", f"{len(links)} links where at most {MAX_LINKS} are allowed")
    for link in links:
        if type(link) is not list or len(link) != 3:
            raise _malformed("a link is [relation, issuer, number]")
        _name(link[0], "link relation")
        _identifier(link[1], "link issuer", empty_allowed=True)
        _identifier(link[2], "link number")
    if any(links[i] >= links[i + 1] for i in range(len(links) - 1)):
        raise _malformed("links are sorted and each stands once")


def _check_fields(fields: dict[str, Value]) -> None:
    """Shape and size only: what a field may hold is the template's matter."""
    if len(fields) > MAX_FIELDS:
        raise ContractError("RECORD_TOO_LARGE", f"{len(fields)} fields where at most {MAX_FIELDS} are allowed")
    if set(map(type, fields.values())) <= _TEXT and sum(map(len, fields.values())) <= MAX_TEXT:
        return
    characters = 0
    for name, value in fields.items():
        if type(value) is str:
            if len(value) > MAX_TEXT:
                raise ContractError("RECORD_TOO_LARGE", f"field {name[:40]!r} is longer than {MAX_TEXT} characters")
            characters += len(value)
        elif type(value) is list:
            characters += _line_characters(name, value)
        else:
            raise ContractError(
                "WRONG_FIELD_TYPE",
                f"field {name[:40]!r} is neither text nor lines: send numbers as decimal text",
            )
    if characters > MAX_CHARACTERS:
        raise ContractError(
            "RECORD_TOO_LARGE", f"fields hold more than {MAX_CHARACTERS} characters: split the record"
        )


def _line_characters(name: str, rows: list[Value]) -> int:
    if len(rows) > MAX_LINES:
        raise ContractError("RECORD_TOO_LARGE", f"field {name[:40]!r} has more than {MAX_LINES} lines")
    characters = 0
    for row in rows:
        if type(row) is not list or len(row) != len(LINE_COLUMNS):
            raise _malformed(f"a row of {name[:40]!r} is [{', '.join(LINE_COLUMNS)}]")
        for cell in row:
            if type(cell) is not str or len(cell) > MAX_IDENTIFIER:
                raise _malformed(f"a cell of {name[:40]!r} is text of at most {MAX_IDENTIFIER} characters")
            characters += len(cell)
    return characters


def _name(value: Value, what: str) -> None:
    if type(value) is not str or not 0 < len(value) <= MAX_NAME:
        raise _malformed(f"{what} is text of 1 to {MAX_NAME} characters")


def _identifier(value: Value, what: str, *, empty_allowed: bool = False) -> None:
    if type(value) is not str or len(value) > MAX_IDENTIFIER or not (value or empty_allowed):
        raise _malformed(f"{what} is text of {0 if empty_allowed else 1} to {MAX_IDENTIFIER} characters")


def _malformed(rule: str) -> ContractError:
    return ContractError("MALFORMED_RECORD", rule)


def _wrong_date(text: str) -> ContractError:
    return ContractError(
        "WRONG_DATE", f"{text[:40]!r} is no date: write YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SSZ for an instant in UTC"
    )
