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
    seal_order,
)

# Links to these kinds join papers into one trade.
JOINED_KINDS = (
    "order",
    "order_response",
    "order_cancellation",
    "despatch",
    "receipt",
    "return",
    "invoice",
    "credit_note",
)
REMITTANCE = "remittance"  # names many bills of many trades: it is held against each and joins none
MATCHED_KINDS = (*JOINED_KINDS, REMITTANCE)

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
    responses: tuple[Document, ...]
    cancellations: tuple[Document, ...]
    despatches: tuple[Document, ...]
    receipts: tuple[Document, ...]
    returns: tuple[Document, ...]
    bills: tuple[Document, ...]
    credit_notes: tuple[Document, ...]


class Book:
    """An enterprise's documents, indexed for matching. The order they come in does not matter."""

    def __init__(self, documents: Iterable[Document], party_of: PartyOf) -> None:
        self.party_of = party_of
        groups: dict[PartyKey, list[Document]] = {}
        for doc in documents:
            if is_paper(doc):
                groups.setdefault(self._key(doc), []).append(doc)
        self._copies: dict[PartyKey, Copies] = {}
        self._by_number: dict[tuple[str, str], list[Document]] = {}
        for key in sorted(groups):
            first, *rest = sorted(groups[key], key=seal_order)
            self._copies[key] = Copies(first, tuple(rest))
            self._by_number.setdefault((first.kind, first.number), []).append(first)
        everything = sorted((copies.original for copies in self._copies.values()), key=event_order)
        self.originals = [doc for doc in everything if doc.kind != REMITTANCE]
        self._payments: dict[bytes, list[Document]] = {}
        for doc in everything:
            if doc.kind == REMITTANCE:
                for bill in self._bills_named(doc):
                    self._payments.setdefault(bill.id, []).append(doc)

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

    def payments_of(self, bill: Document) -> tuple[Document, ...]:
        """Remittances that name a bill, in event order."""
        return tuple(self._payments.get(bill.id, ()))

    def dangling(self, doc: Document) -> frozenset[str]:
        """Kinds of which this paper names one that is not here (yet)."""
        return frozenset(
            relation
            for relation, issuer, number in doc.record.links
            if relation in JOINED_KINDS and self._find(doc, relation, issuer, number) is None
        )

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
            for kind in JOINED_KINDS:
                for other in self.linked(doc, kind):
                    low, high = sorted((find(place[doc.id]), find(place[other.id])))
                    root[high] = low
        groups: dict[int, list[Document]] = {}
        for position, doc in enumerate(self.originals):
            groups.setdefault(find(position), []).append(doc)
        return tuple(_trade(groups[first]) for first in sorted(groups))

    def _key(self, doc: Document) -> PartyKey:
        # A remittance is known by its natural key as it stands: it has no topic of its own to be found by.
        issuer = doc.record.issuer if doc.kind == REMITTANCE else party_key(doc.record.issuer, self.party_of)
        return (doc.kind, issuer, doc.number)

    def _bills_named(self, remittance: Document) -> Iterable[Document]:
        found = {
            match.id: match
            for relation, issuer, number in remittance.record.links
            if relation in JOINED_KINDS
            and (match := self._find(remittance, relation, issuer, number)) is not None
            and match.category == "bill"
        }
        return found.values()

    def _find(self, doc: Document, kind: str, issuer: str, number: str) -> Document | None:
        for party in (issuer,) if issuer else (doc.record.counterparty, doc.record.enterprise):
            copies = self._copies.get((kind, party_key(party, self.party_of), number)) if party else None
            if copies is not None:
                return copies.original
        candidates = self._by_number.get((kind, number), [])
        return candidates[0] if len(candidates) == 1 and not issuer else None


def is_paper(doc: Document) -> bool:
    """Whether a record takes part in matching."""
    return doc.kind in MATCHED_KINDS or doc.category == "bill"


def _trade(docs: list[Document]) -> Trade:
    def of(kind: str) -> tuple[Document, ...]:
        return tuple(doc for doc in docs if doc.kind == kind)

    return Trade(
        orders=of("order"),
        responses=of("order_response"),
        cancellations=of("order_cancellation"),
        despatches=of("despatch"),
        receipts=of("receipt"),
        returns=of("return"),
        bills=tuple(doc for doc in docs if doc.category == "bill" and doc.kind != "credit_note"),
        credit_notes=of("credit_note"),
    )
