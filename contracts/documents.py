"""Sealed records as the credit contract reads them: a document with its template, its lines and its party.

Pure: built from record arrays already checked by `record.parse` when they were sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from contracts import decimal_text
from contracts.decimal_text import Scaled
from contracts.record import Moment, NaturalKey, Record, moment, parse

# Party id behind an identifier as it stands in a file, None when nobody has registered it.
PartyOf: TypeAlias = Callable[[str], str | None]

_LOWER = {ord(upper): ord(upper) + 32 for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class Line(NamedTuple):
    """One row of a document's lines; None where the file lacks the number."""

    line_id: str
    item_id: str
    quantity: Scaled | None
    unit: str
    price: Scaled | None
    amount: Scaled | None


class Document(NamedTuple):
    """A sealed record: where it lies, what it says, and the template kind it is held against."""

    id: bytes
    chain: str
    height: int  # of the block that sealed this version
    since: int  # of the block that sealed the first version
    sealed_at: int  # UTC seconds of the sealing block
    period: int  # number of the period it was sealed in
    record: Record
    category: str  # contract | process | bill | guarantee | qualification | loan | case
    kind_spec: dict[str, Any]  # template["kinds"][kind]
    template: dict[str, Any]
    occurred: Moment  # first and last possible second of the event, in the template's time zone

    @property
    def kind(self) -> str:
        return self.record.kind

    @property
    def number(self) -> str:
        return self.record.number

    @property
    def key(self) -> NaturalKey:
        return self.record.natural_key

    def text(self, field: str) -> str:
        """A scalar field, "" when the file lacks it."""
        value = self.record.fields.get(field, "")
        return value if isinstance(value, str) else ""

    def decimal(self, field: str) -> Scaled | None:
        """A numeric field, None when it is absent or no plain decimal."""
        return decimal_text.parse_or_none(self.text(field))


def document(chain: str, entry: dict[str, Any], template: dict[str, Any]) -> Document:
    """A document from the records contract's entry ("record", kind, issuer, number) of a chain."""
    record = parse(entry["record"])
    kind_spec = template["kinds"][record.kind]
    return Document(
        id=entry["id"],
        chain=chain,
        height=entry["height"],
        since=entry["since"],
        sealed_at=entry["time"] // 1_000,
        period=entry["period"],
        record=record,
        category=kind_spec["category"],
        kind_spec=kind_spec,
        template=template,
        occurred=moment(record.occurred_at, template["time_zone_minutes"]),
    )


def event_order(doc: Document) -> tuple[int, bytes, str]:
    """Sort key: event time, then id (DOMAIN 3), then chain for copies of one record."""
    return doc.occurred.last, doc.id, doc.chain


def seal_order(doc: Document) -> tuple[int, str, bytes]:
    """Sort key: whose first version was sealed first; a correction does not make a paper a late copy."""
    return doc.since, doc.chain, doc.id


def lines(doc: Document) -> tuple[Line, ...]:
    """The rows of the document's "lines" field; empty when it has none."""
    rows = doc.record.fields.get("lines", [])
    if not isinstance(rows, list):
        return ()
    read = decimal_text.parse_or_none
    return tuple(Line(row[0], row[1], read(row[2]), row[3], read(row[4]), read(row[5])) for row in rows)


def name(doc: Document) -> str:
    """How people call it: "invoice A00095678"."""
    return f"{doc.kind.replace('_', ' ')} {doc.number}"


def names(docs: Sequence[Document]) -> str:
    """Several of one kind: "receipt 1, 2", and no more than three by name."""
    shown = ", ".join(doc.number for doc in docs[:3])
    more = f" and {len(docs) - 3} more" if len(docs) > 3 else ""
    return f"{docs[0].kind.replace('_', ' ')} {shown}{more}"


def business_content(doc: Document) -> list[Any]:
    """What a document says, without how it came in: two members' copies of one paper agree in this."""
    r = doc.record
    return [list(r.natural_key), r.enterprise, r.counterparty, r.occurred_at, r.links, r.fields]


def bill_amount(doc: Document) -> Scaled | None:
    """What a bill asks for: total, else total_excl_tax, else the sum of its line amounts; never negative."""
    for field in ("total", "total_excl_tax"):
        value = doc.decimal(field)
        if value is not None:
            return Scaled(abs(value.units), value.scale)
    value = line_total(doc)
    return None if value is None else Scaled(abs(value.units), value.scale)


def line_total(doc: Document) -> Scaled | None:
    """Sum of the line amounts; None when there are no lines or one lacks its amount."""
    result: Scaled | None = None
    for line in lines(doc):
        if line.amount is None:
            return None
        result = line.amount if result is None else decimal_text.add(result, line.amount)
    return result


def same_party(left: str, right: str, party_of: PartyOf) -> bool:
    """Whether two identifiers stand for one party: the same text, or registered for the same party."""
    return left == right or party_key(left, party_of) == party_key(right, party_of)


def party_key(identifier: str, party_of: PartyOf) -> str:
    """One text for all identifiers of a party; an unregistered identifier stands for itself."""
    party = party_of(identifier)
    return f"identifier {identifier}" if party is None else f"party {party}"


def same_name(left: str, right: str) -> bool:
    """Names compared without ASCII case and outer blanks; empty names are never the same.

    ASCII only: Unicode case tables differ between Python versions, and validators must agree.
    """
    return bool(left.strip(" ")) and left.strip(" ").translate(_LOWER) == right.strip(" ").translate(_LOWER)
