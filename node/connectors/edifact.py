"""UN/EDIFACT INVOIC and ORDERS (D.93A and later; EANCOM) → "invoice", "credit_note" and "order", one a message.

Qualifiers are those of the UN/EDIFACT code lists; which of them is read for what stands in the tables below. The
rules are those of the UBL documents, so that one document written either way gives one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from node.connectors import bill_types, coded_dates, edifact_syntax, values
from node.connectors.draft import Link, Party, RecordDraft, identifier, sorted_links
from node.connectors.edifact_syntax import Message, Segment
from node.connectors.errors import ConnectorError, shown
from node.connectors.reading import Reading, choose_party, one_currency

_SELLER: Final = ("SE", "SU", "II")
_DEBTOR: Final = ("IV", "BY", "BT")
_BUYER: Final = ("BY", "IV", "BT")
# Code list responsible agency (3055): who gave a number. 91 and 92 are numbers that seller and buyer gave each other.
_AGENCIES: Final = {"9": "GLN", "16": "DUNS"}
_NOBODY: Final = frozenset({"", "86", "87", "91", "92", "ZZ", "ZZZ"})
# Reference qualifiers (1153): of a party's numbers, then of the documents that are linked.
_LEGAL: Final = frozenset({"XA", "GN"})
_TAX: Final = frozenset({"VA", "FC", "AHP"})
_REFERENCES: Final = {"ON": "order", "CT": "contract", "AAK": "despatch", "ALO": "receipt", "IV": "invoice"}
# Item number types (7143).
_SELLERS_ITEM: Final = frozenset({"SA", "VP"})
_STANDARD_ITEM: Final = frozenset({"EN", "SRV", "UP"})
_BUYERS_ITEM: Final = frozenset({"IN", "BP"})
_TERMS: Final = frozenset({"CUX", "PAT", "TDT", "TOD", "ALC", "TAX"})
"""Segments of an INVOIC or ORDERS head that start a group of their own, after the parties'."""
_NET_PRICES: Final = ("AAA", "INV", "NTP")
# Message functions (1225) of what is no document of its own.
_NOT_ORIGINAL: Final = {"1": "a cancellation", "2": "an addition", "3": "a deletion", "4": "a change"}


def read_bytes(data: bytes) -> list[RecordDraft]:
    """The drafts of an interchange, one for each message. Raises ConnectorError, naming the message that is wrong."""
    interchange = edifact_syntax.parse(data)
    drafts: list[RecordDraft] = []
    for message in interchange.messages:
        try:
            drafts.append(_read(message, interchange.notes))
        except ConnectorError as error:
            where = (
                f"message {shown(message.reference)}: {error.what}" if len(interchange.messages) > 1 else error.what
            )
            raise ConnectorError(error.code, where, error.advice) from None
    return drafts


def _read(message: Message, notes: Sequence[str]) -> RecordDraft:
    if message.type not in ("INVOIC", "ORDERS"):
        raise ConnectorError("NOT_SUPPORTED", f"the message is {shown(message.type)}", "take in INVOIC or ORDERS")
    parts = _Parts(message)
    reading = Reading()
    reading.notes.extend(notes)
    if (function := parts.beginning.get(3)) in _NOT_ORIGINAL:
        raise ConnectorError(
            "NOT_SUPPORTED", f"BGM says that it is {_NOT_ORIGINAL[function]}", "take in the original (9)"
        )
    return _order(parts, reading) if message.type == "ORDERS" else _bill(parts, reading)


class _Parts:
    """The three sections of a message, split where LIN and UNS stand, and the head's parties with their segments."""

    def __init__(self, message: Message) -> None:
        beginnings = [segment for segment in message.segments if segment.tag == "BGM"]
        if len(beginnings) != 1:
            raise ConnectorError(
                "MISSING" if not beginnings else "BAD_VALUE",
                f"BGM stands {len(beginnings)} times",
                "ask the sender for a valid message",
            )
        self.beginning = beginnings[0]
        self.lines: list[list[Segment]] = []
        head: list[Segment] = []
        self.summary: list[Segment] = []
        section = head
        for segment in message.segments:
            if segment.tag == "UNS":
                section = head if segment.get(1) == "D" else self.summary
            elif segment.tag == "LIN" and section is not self.summary:
                section = [segment]
                self.lines.append(section)
            else:
                section.append(segment)
        if section is not self.summary:
            raise ConnectorError("MISSING", "UNS is missing", "ask the sender for a valid message")
        self.parties = _groups(head, "NAD")
        self.head = _before(head, "NAD")
        self.everything = head

    def number(self) -> str:
        return identifier(self.beginning.get(2), "the document's number (BGM)")


def _groups(segments: Iterable[Segment], tag: str) -> list[list[Segment]]:
    """Each segment with the tag and what follows it, up to the next, or to the terms that belong to no party."""
    groups: list[list[Segment]] = []
    inside = False
    for segment in segments:
        if segment.tag == tag:
            groups.append([segment])
            inside = True
        elif segment.tag in _TERMS:
            inside = False
        elif inside:
            groups[-1].append(segment)
    return groups


def _before(segments: Iterable[Segment], tag: str) -> list[Segment]:
    found: list[Segment] = []
    for segment in segments:
        if segment.tag == tag:
            break
        found.append(segment)
    return found


def _order(parts: _Parts, reading: Reading) -> RecordDraft:
    buyer = _party(parts, reading, _BUYER, "buyer (NAD+BY)")
    seller = _party(parts, reading, _SELLER, "seller (NAD+SU)")
    issued = reading.issue_date(_date(reading, parts.head, ("137",)), "DTM+137")
    reading.put("currency", _currency(parts, ("128", "86"), ("203",)))
    reading.put("total", _money(parts.summary, ("128", "86")))
    reading.put("delivery_date", _date(reading, parts.head, ("63", "2", "69")))
    reading.put("buyer_name", buyer.name)
    reading.put("seller_name", seller.name)
    _put_private(parts, reading)
    reading.put_lines([_line(reading, line, ("21",)) for line in parts.lines])
    return RecordDraft(
        kind="order",
        issuer=buyer.id,
        number=parts.number(),
        enterprise=seller,
        counterparty=buyer,
        occurred_at=issued,
        links=_links(parts, buyer.id, seller.id, {"CT"}),
        fields=reading.fields,
        notes=tuple(reading.notes),
    )


def _bill(parts: _Parts, reading: Reading) -> RecordDraft:
    type_code = parts.beginning.get(1)
    kind = bill_types.kind_of(type_code, "the code of BGM")
    seller = _party(parts, reading, _SELLER, "seller (NAD+SU)")
    debtor = _party(parts, reading, _DEBTOR, "buyer (NAD+IV or BY)")
    buyer = _party(parts, reading, _BUYER, "buyer (NAD+BY)")
    issued = reading.issue_date(_date(reading, parts.head, ("137", "3")), "DTM+137")
    totals = _before(parts.summary, "TAX")
    reading.put("due_date", _date(reading, parts.everything, ("13", "140"), first=True))
    reading.put("type_code", type_code)
    reading.put("currency", _currency(parts, ("9", "77", "39", "86", "125", "124", "176"), ("203",)))
    reading.put("total_excl_tax", _money(totals, ("125",)))
    reading.put("tax", _tax(reading, parts.summary, totals))
    reading.put("total", _money(totals, ("9", "77", "39", "86")))
    reading.put("buyer_name", debtor.name)
    reading.put("seller_name", seller.name)
    reading.put("payee_account", _account(parts))
    _put_private(parts, reading)
    reading.put_lines([_line(reading, line, ("47", "12")) for line in parts.lines])
    return RecordDraft(
        kind=kind,
        issuer=seller.id,
        number=parts.number(),
        enterprise=seller,
        counterparty=debtor,
        occurred_at=issued,
        links=_links(parts, buyer.id, seller.id, set(_REFERENCES)),
        fields=reading.fields,
        notes=tuple(reading.notes),
    )


def _party(parts: _Parts, reading: Reading, roles: Sequence[str], what: str) -> Party:
    """Registered number (RFF+XA, GN) → number with its agency → VAT (RFF+VA) → a number of the partner's → name."""
    for role in roles:
        groups = [group for group in parts.parties if group[0].get(1) == role]
        if len(groups) > 1:
            raise ConnectorError("BAD_VALUE", f"NAD+{role} stands {len(groups)} times", "keep the one that is meant")
        if groups:
            return reading.check_identifier(_identified(groups[0], what))
    raise ConnectorError("MISSING", f"the {what} is missing", "ask the sender for a message that names it")


def _identified(group: Sequence[Segment], what: str) -> Party:
    name_and_address = group[0]
    number, agency = name_and_address.get(2), name_and_address.get(2, 2)
    scheme = "" if agency in _NOBODY else _AGENCIES.get(agency, agency)
    references = [segment for segment in group[1:] if segment.tag == "RFF"]
    return choose_party(
        legal=[rff.get(1, 1) for rff in references if rff.get(1) in _LEGAL],
        with_scheme=[f"{scheme}:{number}"] if scheme and number else [],
        tax=[rff.get(1, 1) for rff in references if rff.get(1) in _TAX],
        bare=[number] if not scheme else [],
        name=name_and_address.get(4) or name_and_address.get(3),
        what=what,
    )


def _date(reading: Reading, segments: Sequence[Segment], qualifiers: Sequence[str], *, first: bool = False) -> str:
    """The date of the first qualifier that stands there. Two different ones under it are refused, unless the first
    is asked for: a bill may be due in instalments."""
    for qualifier in qualifiers:
        found = list(
            dict.fromkeys(
                (segment.get(1, 1), segment.get(1, 2))
                for segment in segments
                if segment.tag == "DTM" and segment.get(1) == qualifier and segment.get(1, 1)
            )
        )
        if len(found) > 1 and not first:
            raise ConnectorError(
                "BAD_VALUE", f"DTM+{qualifier} stands {len(found)} times", "keep the one that is meant"
            )
        if found:
            date = coded_dates.read(*found[0], f"DTM+{qualifier}")
            if date.note:
                reading.notes.append(date.note)
            return date.text
    return ""


def _currency(parts: _Parts, totals: Iterable[str], line_amounts: Iterable[str]) -> str:
    """The reference currency (CUX), else the one its amounts carry; a second one among these is refused.

    A target currency, which CUX names beside it with a rate, is information and no amount's.
    """
    stated = [
        segment.get(1, 1) for segment in parts.everything if segment.tag == "CUX" and segment.get(1) in ("2", "")
    ]
    wanted, in_lines = set(totals), set(line_amounts)
    carried = [segment.get(1, 2) for segment in parts.summary if segment.tag == "MOA" and segment.get(1) in wanted]
    carried += [
        segment.get(1, 2)
        for line in parts.lines
        for segment in line
        if segment.tag == "MOA" and segment.get(1) in in_lines
    ]
    return one_currency([*stated, *carried])


def _money(segments: Sequence[Segment], qualifiers: Sequence[str]) -> str:
    """The amount of the first qualifier that stands there; "" for none."""
    for qualifier in qualifiers:
        found = [s.get(1, 1) for s in segments if s.tag == "MOA" and s.get(1) == qualifier and s.get(1, 1)]
        if len(set(found)) > 1:
            raise ConnectorError(
                "BAD_VALUE", f"MOA+{qualifier} stands {len(found)} times", "keep the one that is meant"
            )
        if found:
            return _number(found[0], f"MOA+{qualifier}")
    return ""


def _tax(reading: Reading, summary: Sequence[Segment], totals: Sequence[Segment]) -> str:
    """The tax total, else the amount of the only rate; left out where there are several (no sum is made up)."""
    if total := _money(totals, ("176", "124")):
        return total
    by_rate = [s.get(1, 1) for s in summary if s.tag == "MOA" and s.get(1) == "124" and s.get(1, 1)]
    if len(by_rate) > 1:
        reading.notes.append(f"{len(by_rate)} tax amounts and no total: tax left out")
    return _number(by_rate[0], "MOA+124") if len(by_rate) == 1 else ""


def _account(parts: _Parts) -> str:
    """The seller's account (FII+BF), else the receiving bank's (FII+RB)."""
    for role in ("BF", "RB"):
        for segment in parts.everything:
            if segment.tag == "FII" and segment.get(1) == role and segment.get(2):
                return segment.get(2)
    return ""


def _put_private(parts: _Parts, reading: Reading) -> None:
    """Where and whom to speak to: NAD's street, postcode, town, region, country; CTA and COM. Templates seal both."""
    for name, roles in (("buyer", _BUYER), ("seller", _SELLER)):
        groups = [group for role in roles for group in parts.parties if group[0].get(1) == role]
        if not groups:
            continue
        nad, *others = groups[0]
        street = [nad.get(5, component) for component in range(4)]
        address = [*street, nad.get(8), nad.get(6), nad.get(7), nad.get(9)]
        people = [segment.get(2, 1) or segment.get(2) for segment in others if segment.tag == "CTA"]
        numbers = [segment.get(1) for segment in others if segment.tag == "COM"]
        reading.put(f"{name}_address", ", ".join(filter(None, address)))
        reading.put(f"{name}_contact", ", ".join(filter(None, [*people, *numbers])))


def _line(reading: Reading, segments: Sequence[Segment], quantities: Sequence[str]) -> list[str]:
    """[line_id, item_id, quantity, unit, price, amount]; line_id is the order's line where one is referred to."""
    lin = segments[0]
    ordered = next((s.get(1, 2) for s in segments if s.tag == "RFF" and s.get(1) == "ON" and s.get(1, 2)), "")
    line_id = ordered or lin.get(1)
    item = _item(segments)
    quantity, unit = _quantity(reading, segments, quantities, line_id or item)
    return [
        line_id,
        item,
        quantity,
        unit,
        _price(reading, segments, line_id or item, unit),
        _money(segments, ("203",)),
    ]


def _item(segments: Sequence[Segment]) -> str:
    """Seller's number → standard number ("GTIN:…") → buyer's number; "" where the line has none."""
    numbers: list[tuple[str, str]] = [(segments[0].get(3, 1), segments[0].get(3))]
    for segment in segments:
        if segment.tag == "PIA":
            numbers += [(segment.get(e, 1), segment.get(e)) for e in range(2, len(segment.elements) + 1)]
    for codes, scheme in ((_SELLERS_ITEM, ""), (_STANDARD_ITEM, "GTIN:"), (_BUYERS_ITEM, "")):
        for code, number in numbers:
            if code in codes and number:
                return identifier(scheme + number, "an item's number")
    return ""


def _quantity(reading: Reading, segments: Sequence[Segment], qualifiers: Sequence[str], line: str) -> tuple[str, str]:
    """(quantity, unit) of the first qualifier that stands there. What is not the document's own quantity is noted."""
    for qualifier in qualifiers:
        found = [s for s in segments if s.tag == "QTY" and s.get(1) == qualifier and s.get(1, 1)]
        if len(found) > 1:
            raise ConnectorError(
                "BAD_VALUE", f"line {shown(line)}: QTY+{qualifier} stands {len(found)} times", "keep the one meant"
            )
        if found:
            if qualifier == "12":
                reading.notes.append(f"line {shown(line)}: the quantity despatched (QTY+12) is the one invoiced")
            return _number(found[0].get(1, 1), f"QTY+{qualifier}"), found[0].get(1, 2)
    return "", ""


def _price(reading: Reading, segments: Sequence[Segment], line: str, unit: str) -> str:
    """The net price of one unit (PRI+AAA, else INV or NTP)."""
    for qualifier in _NET_PRICES:
        found = [s for s in segments if s.tag == "PRI" and s.get(1) == qualifier and s.get(1, 1)]
        if len(found) > 1:
            reading.notes.append(f"line {shown(line)}: {len(found)} prices PRI+{qualifier}: price left out")
            return ""
        if found:
            base = found[0].get(1, 4)
            return reading.unit_price(
                line,
                _number(found[0].get(1, 1), f"PRI+{qualifier}"),
                _number(base, "the price's base") if base else "",
                found[0].get(1, 5),
                unit,
            )
    return ""


def _links(parts: _Parts, buyer: str, seller: str, wanted: set[str]) -> tuple[Link, ...]:
    """References of the head (before the parties, whose own numbers follow them) and of the lines."""
    issuers = {"contract": buyer, "order": buyer, "receipt": buyer, "despatch": seller, "invoice": seller}
    links: list[Link] = []
    for segments in (parts.head, *parts.lines):
        for segment in segments:
            relation = _REFERENCES.get(segment.get(1)) if segment.tag == "RFF" and segment.get(1) in wanted else None
            if relation and (number := segment.get(1, 1)):
                links.append((relation, issuers[relation], identifier(number, "a reference")))
    return sorted_links(links)


def _number(text: str, what: str) -> str:
    """A number with a point or a comma as its decimal mark (ISO 9735, 10.1), never with thousands marked."""
    return values.decimal_text(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text, what)
