"""What Chinese e-invoices share, whether in an OFD or as XML of their own: masked figures, dates, red invoices.

A red invoice (红字发票) takes an earlier, blue one back and says so by negative figures. Here it is a "credit_note":
the kind says that it is taken back, so its figures lose the sign, as those of other credit notes have none.
"""

from __future__ import annotations

import re
from typing import Final

from node.connectors import values
from node.connectors.draft import Link, Party, RecordDraft, check_lines, identifier
from node.connectors.errors import ConnectorError, shown
from node.connectors.reading import Reading, choose_party

MASK: Final = re.compile(r"\*+")
"""Printed where the tax office hides a figure: nothing is known of it, least of all that it is zero."""

_CHINESE_DATE: Final = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日", re.ASCII)
_COMPACT_DATE: Final = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
_AMOUNTS: Final = ("total", "total_excl_tax", "tax")
# The wording that the tax office prescribes for the remark of a red invoice, old and new.
_BLUE_CODED: Final = re.compile(r"对应正数发票代码[:：]?\s*(\d{10,12})\s*号码[:：]?\s*(\d{8})", re.ASCII)
_BLUE_DIGITAL: Final = re.compile(r"被红冲蓝字\w*?发?票号码[:：]?\s*(\d{20})")


def figure(reading: Reading, raw: str, what: str) -> str:
    """Decimal text, "" where the figure is absent or masked with asterisks (noted). Raises ConnectorError."""
    if MASK.fullmatch(raw):
        reading.notes.append(f"{what} is masked ({shown(raw)}): left out")
        return ""
    return values.decimal_text(raw.removeprefix("¥").removeprefix("￥"), what) if raw else ""


def day(raw: str, what: str) -> str:
    """2020年10月10日, 20201010, 2020-10-10 or 2020-10-10 12:00:00 (a local time: the date is kept); "" for ""."""
    if not raw:
        return ""
    for pattern in (_CHINESE_DATE, _COMPACT_DATE):
        if match := pattern.fullmatch(raw):
            return values.moment(f"{match[1]}-{int(match[2]):02}-{int(match[3]):02}", None, what).text
    date, _, clock = raw.replace("T", " ").partition(" ")
    return values.moment(date, clock or None, what).text


def taxpayer(reading: Reading, number: str, name: str, what: str) -> Party:
    """A party by its taxpayer's number, which the file gives without a scheme, else by its name."""
    return reading.check_credit_code(choose_party([], [], [number], [], name, what))


def bill(
    reading: Reading, number: str, issued: str, seller: Party, buyer: Party, *, remark: str, label: str = ""
) -> RecordDraft:
    """The draft of an e-invoice whose fields have been read: an "invoice", or a "credit_note" for a red one.

    remark: free text, in which a red invoice names the blue one. label: "Y" where the file says that it is blue,
    "N" for red, "" where it does not say. Raises ConnectorError BAD_VALUE where label and figures disagree.
    """
    figures = [text for name in _AMOUNTS if (text := str(reading.fields.get(name, ""))) and not values.is_zero(text)]
    red = figures[0].startswith("-") if figures else label == "N"
    if label in ("Y", "N") and red != (label == "N"):
        raise ConnectorError(
            "BAD_VALUE",
            f"InIssuType is {label} ({'red' if label == 'N' else 'blue'}), the figures say the contrary",
            "get the file the tax office delivered",
        )
    if red:
        _unsign(reading)
        reading.notes.append("a red invoice: its negative figures are a credit note's")
    return RecordDraft(
        kind="credit_note" if red else "invoice",
        issuer=seller.id,
        number=identifier(number, "the invoice's number"),
        enterprise=seller,
        counterparty=buyer,
        occurred_at=issued,
        links=_taken_back(remark, seller.id) if red else (),
        fields=reading.fields,
        notes=tuple(reading.notes),
    )


def rows(lines: list[list[str]]) -> list[list[str]]:
    """The lines that say something: an empty row is print, not goods."""
    return check_lines([line for line in lines if any(line)])


def joined(code: str, number: str) -> str:
    """Code and number of an older invoice name it together ("050001700111-99999951"); newer ones have no code."""
    return f"{code}-{number}" if code and number else number


def _taken_back(remark: str, seller: str) -> tuple[Link, ...]:
    """The blue invoice that the remark of a red one names."""
    if match := _BLUE_CODED.search(remark):
        return (("invoice", seller, joined(match[1], match[2])),)
    if match := _BLUE_DIGITAL.search(remark):
        return (("invoice", seller, match[1]),)
    return ()


def _unsign(reading: Reading) -> None:
    for name in _AMOUNTS:
        value = reading.fields.get(name)
        if isinstance(value, str):
            reading.fields[name] = _negated(value)
    lines = reading.fields.get("lines", [])
    if isinstance(lines, list):
        for row in lines:
            row[2], row[5] = _negated(row[2]), _negated(row[5])


def _negated(text: str) -> str:
    if not text or values.is_zero(text):
        return text.removeprefix("-")
    return text[1:] if text.startswith("-") else f"-{text}"
