"""An index of which papers speak of which: so that one trade is found without reading an enterprise's history.

A topic is a (kind, number). A paper speaks of its own and of those its links name; a remittance only of the latter.
The papers of a trade are the closure: topics to papers to their topics. Numbers of different issuers may meet in one
closure; matching.py then tells them apart. Papers are entered under the enterprise they name. Copies of one bill on
several chains may name several enterprises: each copy is entered under all of them, so that every enterprise's book
holds all copies.

A closure of more than MAX_PAPERS papers (or topics, or lines) is not judged: it is `large`. Its topics are marked as
met, so that each paper is visited once however much more comes in; a correction that makes it smaller unmarks them.

State, on the consortium chain, in the credit contract's namespace:
    ("about", enterprise identifier, kind, number, page) -> {places: [[chain, kind, issuer, number]]}; page 0 also has
        papers and pages (counts) and met (bool)
    ("paper", chain, kind, issuer, number) -> {topics: [[kind, number]], under: [enterprise identifiers]}
    ("copies", kind, issuer, number) -> [chains] of bills and remittances
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from contracts.context import Context
from contracts.documents import Document, lines
from contracts.evidence import Reader
from contracts.matching import JOINED_KINDS, REMITTANCE

MAX_PAPERS: Final = 256  # of one trade; a larger one leaves its bills partial, TRADE_TOO_LARGE
MAX_TOPICS: Final = 1_024  # of one trade, likewise
MAX_LINES: Final = 16_384  # on the papers of one trade, likewise
PAGE: Final = 16  # places

Place: TypeAlias = tuple[str, str, str, str]  # chain, kind, issuer, number
Topic: TypeAlias = tuple[str, str]


class Touched(NamedTuple):
    """A paper whose trade is to be judged, in the book of the party behind an enterprise identifier."""

    identifier: str
    place: Place


class Closure(NamedTuple):
    """What was found from one paper. large: there are more than can be judged, these are some."""

    documents: dict[Place, Document]
    topics: tuple[Topic, ...]
    large: bool


def place_of(doc: Document) -> Place:
    """Where a paper lies."""
    return (doc.chain, *doc.key)


def enter(ctx: Context, reader: Reader, doc: Document) -> list[Touched]:
    """Enter a paper, or a corrected one anew; gives one paper of each trade that this may have changed."""
    place = place_of(doc)
    known = ctx.get("paper", *place) or {"topics": [], "under": []}
    before = [_topic(row) for row in known["topics"]]
    topics = list(topics_of(doc))
    under = sorted({doc.record.enterprise, *known["under"]})
    touched: list[Touched] = []
    if doc.category == "bill" or doc.kind == REMITTANCE:
        under, touched = _share_copies(ctx, reader, doc, under)
    for topic in before:
        if topic not in topics:
            for identifier in known["under"]:
                _leave(ctx, identifier, topic, place)
                touched += _one_of(ctx, reader, identifier, topic)
    for identifier in under:
        for topic in topics:
            if identifier not in known["under"] or topic not in before:
                _join(ctx, identifier, topic, place)
    entry = {"topics": [list(topic) for topic in topics], "under": under}
    if entry != known:
        ctx.put("paper", *place, value=entry)
    return [*touched, *_touches(ctx, reader, under, place, topics)]


def work_of(ctx: Context, reader: Reader, doc: Document) -> int:
    """About how many places of the index it takes to enter a paper."""
    place, topics = place_of(doc), topics_of(doc)
    known = ctx.get("paper", *place)
    work = len(topics)
    if doc.kind == REMITTANCE:  # each topic is looked for under each identifier, for each copy
        copies = len(ctx.get("copies", *doc.key) or []) + 1
        work *= copies * len(reader.identifiers_of(doc.record.enterprise))
    if known is not None:
        dropped = [topic for topic in map(_topic, known["topics"]) if topic not in topics]
        heads = (ctx.get("about", name, *topic, 0) for name in known["under"] for topic in dropped)
        work += sum(head["pages"] for head in heads if head is not None)
    return work


def touched_by(ctx: Context, reader: Reader, place: Place) -> list[Touched]:
    """What is to be judged again when something about an entered paper changed; nothing for one not entered."""
    known = ctx.get("paper", *place)
    return [] if known is None else _touches(ctx, reader, known["under"], place, map(_topic, known["topics"]))


def closure(ctx: Context, reader: Reader, identifiers: Iterable[str], start: Place) -> Closure:
    """The papers of the trade that a paper belongs to, in the book of an enterprise with these identifiers."""
    search = _Search(ctx, reader, tuple(identifiers))
    search.add(start)
    large = not search.run()
    return Closure(search.found, tuple(search.topics), large)


def unmet(ctx: Context, identifiers: Iterable[str], found: Closure) -> list[Touched]:
    """Of a large closure: mark its topics as met; gives the papers under those that were not, but for those found."""
    touched: list[Touched] = []
    for identifier in identifiers:
        for topic in found.topics:
            head = ctx.get("about", identifier, *topic, 0)
            if head is None or head["met"]:
                continue
            ctx.put("about", identifier, *topic, 0, value={**head, "met": True})
            touched += [
                Touched(identifier, place)
                for place in _places(ctx, identifier, topic)
                if place not in found.documents and place[1] != REMITTANCE
            ]
    return touched


def forget_large(ctx: Context, identifiers: Iterable[str], topics: Iterable[Topic]) -> None:
    """Of a closure that can be judged: no topic of it is met as large any more."""
    for identifier in identifiers:
        for topic in topics:
            head = ctx.get("about", identifier, *topic, 0)
            if head is not None and head["met"]:
                ctx.put("about", identifier, *topic, 0, value={**head, "met": False})


def topics_of(doc: Document) -> tuple[Topic, ...]:
    """What a paper speaks of, each once."""
    own = () if doc.kind == REMITTANCE else ((doc.kind, doc.number),)
    linked = ((relation, number) for relation, _, number in doc.record.links if relation in JOINED_KINDS)
    return tuple(dict.fromkeys((*own, *linked)))


def copies_of(ctx: Context, place: Place) -> tuple[Place, ...]:
    """Where a bill or remittance of the same natural key has been entered, itself included."""
    _, kind, issuer, number = place
    return tuple((chain, kind, issuer, number) for chain in ctx.get("copies", kind, issuer, number) or [])


class _Search:
    """Breadth first from one paper, within an enterprise's index."""

    def __init__(self, ctx: Context, reader: Reader, identifiers: tuple[str, ...]) -> None:
        self._ctx = ctx
        self._reader = reader
        self._identifiers = identifiers
        self.found: dict[Place, Document] = {}
        self.topics: list[Topic] = []
        self._lines = 0
        self._known: set[Topic] = set()

    def add(self, place: Place) -> None:
        """One more paper, with the topics it opens: a remittance opens none but shows its copies."""
        if place in self.found:
            return
        chain, kind, issuer, number = place
        doc = self._reader.document(chain, (kind, issuer, number))
        if doc is None:
            return
        self.found[place] = doc
        self._lines += len(lines(doc))
        if kind == REMITTANCE:
            for copy in copies_of(self._ctx, place):
                self.add(copy)
        else:
            fresh = [topic for topic in topics_of(doc) if topic not in self._known]
            self._known.update(fresh)
            self.topics += fresh

    def run(self) -> bool:
        """Follow every topic; False once there are too many papers."""
        for topic in self.topics:  # grows on the way
            heads = [self._ctx.get("about", identifier, *topic, 0) for identifier in self._identifiers]
            if sum(head["papers"] for head in heads if head is not None) > MAX_PAPERS:
                return False
            for identifier, head in zip(self._identifiers, heads, strict=True):
                for place in _places(self._ctx, identifier, topic, head):
                    self.add(place)
                if not self._fits():
                    return False
        return self._fits()

    def _fits(self) -> bool:
        return len(self.found) <= MAX_PAPERS and len(self.topics) <= MAX_TOPICS and self._lines <= MAX_LINES


def _share_copies(ctx: Context, reader: Reader, doc: Document, under: list[str]) -> tuple[list[str], list[Touched]]:
    """Enter every copy of a bill under every enterprise that one of them names; gives those enterprises."""
    place = place_of(doc)
    chains: list[str] = ctx.get("copies", *doc.key) or []
    if doc.chain not in chains:
        ctx.put("copies", *doc.key, value=sorted([*chains, doc.chain]))
    touched: list[Touched] = []
    others = [other for other in copies_of(ctx, place) if other != place]
    entries = {other: ctx.get("paper", *other) for other in others}
    everyone = sorted({*under, *(name for entry in entries.values() for name in entry["under"])})
    for other, entry in entries.items():
        topics = [_topic(row) for row in entry["topics"]]
        added = [identifier for identifier in everyone if identifier not in entry["under"]]
        for identifier in added:
            for topic in topics:
                _join(ctx, identifier, topic, other)
        if added:
            ctx.put("paper", *other, value={**entry, "under": everyone})
        # A remittance's copies hang together by their key alone: the bills they name are judged again.
        if doc.kind == REMITTANCE:
            touched += _touches(ctx, reader, everyone, other, topics)
    return everyone, touched


def _touches(
    ctx: Context, reader: Reader, under: Iterable[str], place: Place, topics: Iterable[Topic]
) -> list[Touched]:
    if place[1] != REMITTANCE:
        return [Touched(identifier, place) for identifier in under]
    named = tuple(topics)
    return [touched for identifier in under for topic in named for touched in _one_of(ctx, reader, identifier, topic)]


def _one_of(ctx: Context, reader: Reader, identifier: str, topic: Topic) -> list[Touched]:
    """One paper under a topic in an enterprise's book: it stands for all of them, as they are of one closure."""
    for name in reader.identifiers_of(identifier):
        for place in _places(ctx, name, topic):
            if place[1] != REMITTANCE:
                return [Touched(name, place)]
    return []


def _places(ctx: Context, identifier: str, topic: Topic, head: dict[str, Any] | None = None) -> Iterator[Place]:
    head = ctx.get("about", identifier, *topic, 0) if head is None else head
    if head is None:
        return
    for page in range(head["pages"]):
        content = head if page == 0 else ctx.get("about", identifier, *topic, page)
        yield from ((row[0], row[1], row[2], row[3]) for row in content["places"])


def _join(ctx: Context, identifier: str, topic: Topic, place: Place) -> None:
    """Enter a place that is not under this topic yet, on the last page."""
    head = ctx.get("about", identifier, *topic, 0) or {"papers": 0, "pages": 1, "met": False, "places": []}
    last = head["pages"] - 1
    page = head if last == 0 else ctx.get("about", identifier, *topic, last)
    counted = {**head, "papers": head["papers"] + 1}
    if len(page["places"]) >= PAGE:
        last += 1
        counted["pages"] += 1
        page = {"places": []}
    places = [*page["places"], list(place)]
    if last == 0:
        counted["places"] = places
    else:
        ctx.put("about", identifier, *topic, last, value={"places": places})
    ctx.put("about", identifier, *topic, 0, value=counted)


def _leave(ctx: Context, identifier: str, topic: Topic, place: Place) -> None:
    """Take a place out from under a topic; the last place of all takes its position."""
    head = ctx.get("about", identifier, *topic, 0)
    pages = [head if page == 0 else ctx.get("about", identifier, *topic, page) for page in range(head["pages"])]
    row = list(place)
    position = next(page for page, content in enumerate(pages) if row in content["places"])
    last = len(pages) - 1
    moved = pages[last]["places"][-1]
    changed = {last: pages[last]["places"][:-1]}
    if moved != row:
        places = changed.get(position, pages[position]["places"])
        changed[position] = [moved if other == row else other for other in places]
    if head["papers"] == 1:
        ctx.delete("about", identifier, *topic, 0)
        return
    counted = {**head, "papers": head["papers"] - 1}
    for page, places in changed.items():
        if page == 0:
            counted["places"] = places
        elif places:
            ctx.put("about", identifier, *topic, page, value={"places": places})
        else:
            ctx.delete("about", identifier, *topic, page)
            counted["pages"] -= 1
    ctx.put("about", identifier, *topic, 0, value=counted)


def _topic(row: list[str]) -> Topic:
    return row[0], row[1]
