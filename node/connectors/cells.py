"""Cells of a table to the text of records: dates and numbers by the rules of the mapping, never by a guess."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from node.connectors import values
from node.connectors.errors import ConnectorError, shown
from node.connectors.grid import Cell, DateCell, NumberCell
from node.connectors.mapping import Dates, Numbers

_MASKED: Final = re.compile(r"[*#]+")
_TOKEN: Final = re.compile(r"YYYY|MM|DD|M|D")
_TOKENS: Final = {
    "YYYY": r"(?P<year>[0-9]{4})",
    "MM": r"(?P<month>[0-9]{2})",
    "DD": r"(?P<day>[0-9]{2})",
    "M": r"(?P<month>[0-9]{1,2})",
    "D": r"(?P<day>[0-9]{1,2})",
}
_CLOCK: Final = (
    r"(?:(?:T| +)(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.[0-9]+)?)?"
    r" ?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_SPACES: Final = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " "})
_PLAIN: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_ISO: Final = ("YYYY-MM-DD",)


def text(cell: Cell) -> str:
    """A cell as text of one line; a whole number without a fraction that the workbook may have written."""
    if type(cell) is str and cell.isprintable() and len(cell) <= values.MAX_TEXT:
        return " ".join(cell.split())  # what clean does, where it has nothing to refuse
    if isinstance(cell, NumberCell) and "." in cell:
        whole, _, fraction = cell.partition(".")
        return str(cell) if fraction.strip("0") else whole
    return values.clean(cell)


def is_masked(cell: Cell) -> bool:
    """Whether a figure was hidden, or did not fit, where the table was written: "***", "####"."""
    return _MASKED.fullmatch(cell.strip()) is not None


def number(cell: Cell, what: str, rules: Numbers) -> str:
    """A decimal number in record form; "" for an empty cell. Raises ConnectorError BAD_VALUE."""
    if rules.decimal == "." and len(cell) <= values.MAX_DIGITS and _PLAIN.fullmatch(cell):
        return str(cell)
    if isinstance(cell, NumberCell):
        return values.decimal_text(cell, what)
    raw = cell.translate(_SPACES).strip()
    if not raw:
        return ""
    if isinstance(cell, DateCell):
        raise ConnectorError("BAD_VALUE", f"{what} is the date {raw}", "write a number, and format its cell as one")
    plain = raw
    if rules.trailing_minus and plain.endswith("-") and not plain.startswith("-"):
        plain = "-" + plain[:-1].rstrip()
    match = _number(rules.decimal, rules.thousands).fullmatch(plain)
    if match is None:
        example = f"1{rules.thousands}234{rules.decimal}50"
        raise ConnectorError(
            "BAD_VALUE",
            f"{what} is {shown(raw)}",
            f"write numbers as {example}, or set the mapping's numbers",
        )
    whole, fraction = match["whole"], match["fraction"]
    if rules.thousands:
        whole = whole.replace(rules.thousands, "")
    return values.decimal_text(match["sign"] + whole + (f".{fraction}" if fraction else ""), what)


def moment(cell: Cell, what: str, rules: Dates) -> str:
    """A date or an instant in record form; "" for an empty cell. Raises ConnectorError BAD_VALUE."""
    raw = cell.strip()
    if not raw:
        return ""
    try:
        return _moment_of(raw, _ISO if isinstance(cell, DateCell) else rules.formats, rules.zone)
    except ConnectorError:
        pass
    raise ConnectorError(
        "BAD_VALUE",
        f"{what} is {shown(raw)}",
        f"write dates as {rules.formats[0]}, or set the mapping's dates",
    )


@lru_cache(maxsize=8_192)
def _moment_of(raw: str, forms: tuple[str, ...], zone_of_all: str) -> str:
    """The same for text that is not empty; tables repeat their dates."""
    match = next((match for form in forms if (match := _date(form).fullmatch(raw)) is not None), None)
    if match is None:
        raise ConnectorError("BAD_VALUE", "no date", "")
    day = f"{match['year']}-{match['month']:0>2}-{match['day']:0>2}"
    if match["hour"] is None:
        return values.moment(day, None, "").text
    if int(match["hour"]) > 23 or int(match["minute"]) > 59 or int(match["second"] or 0) > 59:
        raise ConnectorError("BAD_VALUE", "no time of day", "")
    zone = match["zone"] or zone_of_all
    if len(zone) == 5:
        zone = f"{zone[:3]}:{zone[3:]}"
    clock = f"{match['hour']:0>2}:{match['minute']}:{match['second'] or '00'}{zone}"
    return values.moment(day, clock, "").text


@lru_cache(maxsize=64)
def _date(form: str) -> re.Pattern[str]:
    parts, position = [], 0
    for token in _TOKEN.finditer(form):
        parts += [re.escape(form[position : token.start()]), _TOKENS[token[0]]]
        position = token.end()
    return re.compile("".join(parts) + re.escape(form[position:]) + _CLOCK)


@lru_cache(maxsize=16)
def _number(decimal: str, thousands: str) -> re.Pattern[str]:
    """Groups of exactly three digits, all or none of them separated: "1,23" is no number with a thousands comma."""
    whole = rf"[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+|[0-9]+" if thousands else "[0-9]+"
    return re.compile(rf"(?P<sign>[+-]?)(?P<whole>{whole})(?:{re.escape(decimal)}(?P<fraction>[0-9]*))?")
