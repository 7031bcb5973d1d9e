"""Which documents belong together: a bill, its orders, despatches and receipts ([3], [10], DOMAIN 3).

Lookup order for a link [relation, issuer, number]:
1. issuer given: the document of that kind and number whose issuer is the same party;
2. issuer unknown (""): of that kind and number, the one issued by the counterparty, else the one issued by the
   enterprise, else the only one there is (several with other issuers are ambiguous: none).
Documents joined by links, in either direction and over any number of steps, are one trade: so a receipt that
names only its despatch, and a despatch that names the order, still meet the bill of that order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from contracts.documents import (
    Document,
    PartyOf,
    business_content,
    event_order,
    party_key,
    same_party,
    seal_order,
)

MATCHED_KINDS = ("order", "despatch", "receipt", "invoice", "credit_note")

# (kind, party that issued it, number): a natural key with its issuer resolved to the party behind it.
PartyKey: TypeAlias = tuple[str, str, str]


class Copies(NamedTuple):
    """All sealed copies of one natural key; the first sealed one stands for it."""

    original: Document
    others: tuple[Document, ...]

    def agree(self) -> bool:
        """Whether all copies say the same."""
        content = business_content(self.original)
        return all(business_content(other) == content for other in self.others)


class Trade(NamedTuple):
    """Documents that links join, each kind in event order. bills: invoices and other bills but credit notes."""

    orders: tuple[Document, ...]
    despatches: tuple[Document, ...]
    receipts: tuple[Document, ...]
    bills: tuple[Document, ...]
    credit_notes: tuple[Document, ...]


class Book:
    """An enterprise's documents, indexed for matching. The order they come in does not matter."""

    def __init__(self, documents: Iterable[Document], party_of: PartyOf) -> None:
        self.party_of = party_of
        groups: dict[PartyKey, list[Document]] = {}
        for doc in documents:
            if doc.kind in MATCHED_KINDS or doc.category == "bill":
                groups.setdefault(self._key(doc), []).append(doc)
        self._copies: dict[PartyKey, Copies] = {}
        self._by_number: dict[tuple[str, str], list[Document]] = {}
        for key in sorted(groups):
            first, *rest = sorted(groups[key], key=seal_order)
            self._copies[key] = Copies(first, tuple(rest))
            self._by_number.setdefault((first.kind, first.number), []).append(first)
        self.originals = sorted((copies.original for copies in self._copies.values()), key=event_order)

    def copies_of(self, doc: Document) -> Copies:
        """All copies of a document's natural key, itself among them."""
        return self._copies[self._key(doc)]

    def linked(self, doc: Document, kind: str) -> tuple[Document, ...]:
        """Documents of a kind that this one itself links to, in event order."""
        found: dict[bytes, Document] = {}
        for relation, issuer, number in doc.record.links:
            if relation == kind:
                match = self._find(doc, kind, issuer, number)
                if match is not None and match.id != doc.id:
                    found[match.id] = match
        return tuple(sorted(found.values(), key=event_order))

    def trades(self) -> tuple[Trade, ...]:
        """Every document in exactly one trade; trades ordered by their first document."""
        place = {doc.id: position for position, doc in enumerate(self.originals)}
        root = list(range(len(self.originals)))

        def find(position: int) -> int:
            while root[position] != position:
                root[position] = root[root[position]]
                position = root[position]
            return position

        for doc in self.originals:
            for kind in MATCHED_KINDS:
                for other in self.linked(doc, kind):
                    low, high = sorted((find(place[doc.id]), find(place[other.id])))
                    root[high] = low
        groups: dict[int, list[Document]] = {}
        for position, doc in enumerate(self.originals):
            groups.setdefault(find(position), []).append(doc)
        return tuple(_trade(groups[first]) for first in sorted(groups))

    def _key(self, doc: Document) -> PartyKey:
        return (doc.kind, party_key(doc.record.issuer, self.party_of), doc.number)

    def _find(self, doc: Document, kind: str, issuer: str, number: str) -> Document | None:
        candidates = self._by_number.get((kind, number), [])
        if issuer:
            return next((c for c in candidates if same_party(c.record.issuer, issuer, self.party_of)), None)
        for party in (doc.record.counterparty, doc.record.enterprise):
            for candidate in candidates:
                if party and same_party(candidate.record.issuer, party, self.party_of):
                    return candidate
        return candidates[0] if len(candidates) == 1 else None


def _trade(docs: list[Document]) -> Trade:
    def of(kind: str) -> tuple[Document, ...]:
        return tuple(doc for doc in docs if doc.kind == kind)

    bills = tuple(doc for doc in docs if doc.category == "bill" and doc.kind != "credit_note")
    return Trade(of("order"), of("despatch"), of("receipt"), bills, of("credit_note"))
