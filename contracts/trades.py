"""An index of which papers speak of which: so that one trade is found without reading an enterprise's history.

Each paper (order, despatch, receipt, bill) is entered once under every topic it speaks of: its own (kind, number)
and the (kind, number) of each link. The papers of a trade are the closure: topics to papers to their topics.
Numbers of different issuers may meet in one closure; matching.py then tells them apart.

State, on the consortium chain, in the credit contract's namespace:
    ("about", enterprise identifier, kind, number) -> [[chain, kind, issuer, number]], at most MAX_PAPERS
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from contracts.context import Context
from contracts.documents import Document
from contracts.evidence import Enterprise, Reader
from contracts.matching import MATCHED_KINDS

MAX_PAPERS: Final = 256  # of one topic, and of one trade: a larger one is judged by assessments only

Topic: TypeAlias = tuple[str, str]


def enter(ctx: Context, doc: Document) -> None:
    """Enter a paper under its topics. A full topic takes no more, and its trade is left to assessments."""
    place = [doc.chain, *doc.key]
    for kind, number in _topics(doc):
        key = ("about", doc.record.enterprise, kind, number)
        known = ctx.get(*key) or []
        if place not in known and len(known) <= MAX_PAPERS:
            ctx.put(*key, value=[*known, place])


def papers_of(ctx: Context, reader: Reader, enterprise: Enterprise, start: Document) -> tuple[Document, ...] | None:
    """All papers of the trade that a paper belongs to, copies of its bills included; None when there are too many."""
    found: dict[tuple[str, ...], Document] = {(start.chain, *start.key): start}
    topics: dict[Topic, bool] = dict.fromkeys(_topics(start), False)
    while not all(topics.values()):
        topic = next(topic for topic, done in topics.items() if not done)
        topics[topic] = True
        for place in _places(ctx, enterprise, topic):
            if place in found:
                continue
            chain, kind, issuer, number = place
            doc = reader.document(chain, (kind, issuer, number))
            if doc is None:
                continue
            found[place] = doc
            if len(found) > MAX_PAPERS:
                return None
            for other in _topics(doc):
                topics.setdefault(other, False)
    return reader.with_copies(found.values())


def is_paper(doc: Document) -> bool:
    """Whether a record takes part in matching."""
    return doc.kind in MATCHED_KINDS or doc.category == "bill"


def _topics(doc: Document) -> Iterable[Topic]:
    topics = [(doc.kind, doc.number)]
    topics += [(relation, number) for relation, _, number in doc.record.links if relation in MATCHED_KINDS]
    return dict.fromkeys(topics)


def _places(ctx: Context, enterprise: Enterprise, topic: Topic) -> list[tuple[str, str, str, str]]:
    places: list[tuple[str, str, str, str]] = []
    for identifier in enterprise.identifiers:
        for chain, kind, issuer, number in ctx.get("about", identifier, *topic) or []:
            places.append((chain, kind, issuer, number))
    return places
