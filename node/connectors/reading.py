"""What the readers of formats other than UBL share: a document being read, its party identifiers, its unit prices.

UBL has the same rules for its own elements (``ubl.py``); both are explained in ``docs/data-exchange.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stdnum import lei
from stdnum.cn import uscc

from contracts.record import FieldValue
from node.connectors import values
from node.connectors.draft import Party, check_lines, identifier
from node.connectors.errors import ConnectorError, shown

_LEI_SCHEMES: Final = frozenset({"LEI", "0199"})
_USCC_LENGTH: Final = 18


class Reading:
    """One document being read: its fields so far, and the notes on how it was read."""

    def __init__(self) -> None:
        self.fields: dict[str, FieldValue] = {}
        self.notes: list[str] = []

    def put(self, name: str, value: str) -> None:
        """Fill a field, unless the file lacks it."""
        if value:
            self.fields[name] = value

    def put_lines(self, lines: list[list[str]]) -> None:
        """Fill "lines", unless the document has none."""
        if lines:
            self.fields["lines"] = check_lines(lines)

    def issue_date(self, text: str, what: str) -> str:
        """Fill issue_date, which every document must have. Raises ConnectorError: absent, or before 1970."""
        if not text:
            raise ConnectorError("MISSING", f"{what} is missing", "ask the sender for a dated document")
        self.put("issue_date", values.not_before_1970(text, what))
        return text

    def check_identifier(self, party: Party) -> Party:
        """Note a LEI, or a Chinese unified social credit code, whose check digits are wrong; the value stays."""
        for known in (party.id, *party.identifiers):
            scheme, _, number = known.rpartition(":")
            if scheme in _LEI_SCHEMES and not lei.is_valid(number):
                self.notes.append(f"{shown(known)} is no valid LEI (ISO 17442): kept as it is")
        return party

    def check_credit_code(self, party: Party) -> Party:
        """The same for a Chinese taxpayer's number: of 18 characters it is a unified social credit code."""
        if len(party.id) == _USCC_LENGTH and not uscc.is_valid(party.id):
            self.notes.append(f"{shown(party.id)} is no valid unified social credit code (GB 32100): kept as it is")
        return party

    def unit_price(self, line: str, price: str, base: str, base_unit: str, unit: str) -> str:
        """The price of one unit, from a price for a base quantity ("" for 1); "" where it cannot be had exactly.

        line: what a note calls the line. Raises nothing: a price left out is noted.
        """
        if not price or not base:
            return price
        if base_unit and unit and base_unit != unit:
            units = f"priced per {shown(base_unit)}, counted in {shown(unit)}"
            self.notes.append(f"line {shown(line)}: {units}: price left out")
            return ""
        if values.is_one(base):
            return price
        quotient = values.exact_quotient(price, base)
        if quotient is None:
            self.notes.append(f"line {shown(line)}: {price} per {base} is no finite unit price: price left out")
        return quotient or ""


def choose_party(  # the order of the arguments is the order of the rule
    legal: Iterable[str], with_scheme: Iterable[str], tax: Iterable[str], bare: Iterable[str], name: str, what: str
) -> Party:
    """A party by the one rule for every document (docs/data-exchange.md, "Parties"); each text may be "".

    Raises ConnectorError MISSING where the document gives neither a number nor a name.
    """
    known = list(dict.fromkeys(filter(None, [*legal, *with_scheme, *tax, *bare])))
    chosen = identifier(known[0] if known else name, f"an identifier or name of the {what}")
    return Party(chosen, name, tuple(found for found in known if found != chosen))


def one_currency(named: Sequence[str]) -> str:
    """The document's currency: the one that is named, "" where none is. Raises ConnectorError for several."""
    found = list(dict.fromkeys(filter(None, named)))
    if len(found) > 1:
        raise ConnectorError(
            "BAD_VALUE",
            f"amounts in {' and '.join(map(shown, found[:3]))}",
            "ask the sender for a document in one currency",
        )
    return found[0] if found else ""
