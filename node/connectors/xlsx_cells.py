"""Stored cells of a workbook to cells of a table: numbers without the noise of binary fractions, serials as dates.

A workbook stores a number as the text of a binary double, often with 17 digits ("1.1000000000000001" for 1.1). The
program that shows it has 15 digits (ECMA-376 part 1, § 18.17.5.2), and so has what is read here.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from node.connectors import strict_xml
from node.connectors.errors import ConnectorError, shown
from node.connectors.grid import Cell, DateCell, NumberCell

SIGNIFICANT: Final = 15
MAX_EXPONENT: Final = 30

_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_PLAIN: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_SHOWN: Final = Context(prec=SIGNIFICANT, rounding=ROUND_HALF_EVEN)
_BUILT_IN: Final = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""Number formats of dates and times that a workbook need not define (§ 18.8.30, those of East Asia included)."""
_LITERAL: Final = re.compile(r'"[^"]*"?|\\.|\[[^\]]*\]|_.|\*.')
_DATE_PART: Final = re.compile(r"[ymdhs]", re.IGNORECASE)
_INDEX_DIGITS: Final = 9
_DAY_SECONDS: Final = 86_400
_LEAP_1900: Final = 60
"""Serial of 29 February 1900, a day that never was."""
_LAST: Final = 2_958_465
"""Serial of 9999-12-31."""


class Reader(NamedTuple):
    """What the cells of all sheets refer to. dates: styles that show dates, times; from_1904: another calendar."""

    strings: list[str]
    dates: frozenset[int]
    from_1904: bool

    def cell(self, kind: str, style: str, stored: str) -> Cell:
        """A cell from its t and s attributes and its stored text. Raises ConnectorError BAD_VALUE."""
        if kind == "s":
            index = _index(stored)
            if index is None or index >= len(self.strings):
                raise ConnectorError("BAD_VALUE", "its text is missing in the workbook", "save the workbook again")
            return self.strings[index]
        if kind in ("inlineStr", "str"):
            return stored
        if kind == "e":
            raise ConnectorError("BAD_VALUE", f"it holds the error {shown(stored)}", "correct the cell")
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(stored, stored)
        if kind == "d":
            return DateCell(stored.replace("T", " ").removesuffix("Z").partition(".")[0])
        if not stored:
            return ""
        dated = style != "" and _index(style) in self.dates
        if not dated and len(stored) <= SIGNIFICANT and _PLAIN.fullmatch(stored):
            return NumberCell(stored)
        if not _NUMBER.fullmatch(stored):
            raise ConnectorError("BAD_VALUE", f"it holds the number {shown(stored)}", "correct the cell")
        return _moment(stored, self.from_1904) if dated else _number(Decimal(stored))


def date_styles(data: bytes) -> frozenset[int]:
    """Indices of the cell styles that show dates, times. data: xl/styles.xml, empty where there is none."""
    if not data:
        return frozenset()
    root = strict_xml.parse(data)
    own = {
        found.get("numFmtId", ""): _shows_date(found.get("formatCode", ""))
        for found in root.iterfind("{*}numFmts/{*}numFmt")
    }
    dates = set()
    for index, style in enumerate(root.iterfind("{*}cellXfs/{*}xf")):
        number = style.get("numFmtId", "0")
        if own.get(number, _index(number) in _BUILT_IN):
            dates.add(index)
    return frozenset(dates)


def _index(text: str) -> int | None:
    """A count of the file's, None for what is none."""
    return int(text) if len(text) <= _INDEX_DIGITS and text.isascii() and text.isdecimal() else None


def _shows_date(code: str) -> bool:
    """Whether a format code has parts of a date or time outside its literal text: "General" has none."""
    plain = _LITERAL.sub("", code.partition(";")[0])
    return plain.lower() != "general" and _DATE_PART.search(plain) is not None


def _number(value: Decimal) -> NumberCell:
    if value and not -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
        raise ConnectorError("BAD_VALUE", f"it holds the number {value}", "correct the cell")
    rounded = _SHOWN.plus(value) if len(value.as_tuple().digits) > SIGNIFICANT else value
    text = format(rounded, "f")
    if rounded is not value and "." in text:
        text = text.rstrip("0").rstrip(".")
    return NumberCell(text)


@lru_cache(maxsize=8_192)
def _moment(stored: str, from_1904: bool) -> Cell:
    """The day, or local time to the nearest second, of a serial; a time of day alone stays text."""
    serial = Decimal(stored)
    wrong = ConnectorError("BAD_VALUE", f"it holds no date (serial {serial:.6g})", "correct the cell")
    if not 0 <= serial <= _LAST:
        raise wrong
    days = int(serial)
    seconds = int((serial - days) * _DAY_SECONDS + Decimal("0.5"))
    if seconds == _DAY_SECONDS:
        days, seconds = days + 1, 0
    clock = f"{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
    if from_1904:
        start = date(1904, 1, 1)
    elif days == 0 and seconds:
        return clock
    elif days in (0, _LEAP_1900):
        raise wrong
    else:
        start = date(1899, 12, 31) if days < _LEAP_1900 else date(1899, 12, 30)
    try:
        day = start + timedelta(days=days)
    except OverflowError:
        raise wrong from None
    return DateCell(f"{day.isoformat()} {clock}" if seconds else day.isoformat())
