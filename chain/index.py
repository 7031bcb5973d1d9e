"""Derived rows for finding records: by id, by kind and number whoever issued it, by enterprise and by kind in sealing
order. Never read by contracts.

A kind's row names only the enterprises of its records in a transaction; the records stand in the enterprise's row of
the same place. So a batch of one enterprise, which is what systems send, costs one short row more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from chain.block import CONSORTIUM
from chain.codec import decode, load, pack
from chain.execution import Carried
from chain.store import Reading, chain_prefix, successor
from chain.transition import Transition

SEALING_EVENT: Final = "records_sealed"
KNOWN: Final = "k"
"""In that event's outcomes: the record was sealed before, and this transaction changed nothing."""


class IndexedRecord(NamedTuple):
    """One sealed record version: its chain, natural key, id, and the transaction that carried it."""

    chain: str
    kind: str
    issuer: str
    number: str
    record_id: bytes
    tx_id: bytes


class Place(NamedTuple):
    """Where a transaction's records of one enterprise stand: consortium height, number among those of the block."""

    height: int
    number: int


FIRST: Final = 0
LAST: Final = 2**32 - 1
"""The numbers that a place of a block can have."""


class Listed(NamedTuple):
    """A sealed record version as a list gives it: whose it is, and where it stands."""

    record: IndexedRecord
    enterprise: str
    place: Place



def index_rows(height: int, outcome: Transition) -> Iterator[tuple[bytes, bytes]]:
    """The index rows of a block."""
    for chain, execution in outcome.executions.items():
        if chain == CONSORTIUM:
            continue
        of_number, of_enterprise = chain_prefix(b"x", chain), chain_prefix(b"y", chain)
        in_order = chain_prefix(b"z", chain)
        kinds: dict[str, bytes] = {}
        name = chain.encode()
        for number, carried in enumerate(execution.carried):
            tx_id = carried.receipt.tx_id
            listed: dict[str, list[Any]] = {}
            whose: dict[str, dict[str, None]] = {}
            for record_id, kind, issuer, label, enterprise in _sealed(carried):
                yield b"i" + record_id + name, pack([kind, issuer, label, tx_id])
                of_kind = kinds.get(kind)
                if of_kind is None:
                    of_kind = kinds[kind] = of_number + _framed(kind)
                yield of_kind + _framed(label) + issuer.encode(), b""
                listed.setdefault(enterprise, []).append([kind, issuer, label, record_id])
                whose.setdefault(kind, {})[enterprise] = None
            place = _place(Place(height, number))
            for enterprise, rows in listed.items():
                yield of_enterprise + _framed(enterprise) + place, pack([tx_id, rows])
            for kind, enterprises in whose.items():
                yield in_order + _framed(kind) + place, pack(list(enterprises))


def by_id(store: Reading, record_id: bytes) -> list[IndexedRecord]:
    """The record version with an id, once for each chain that sealed it, in chain order."""
    found = []
    prefix = b"i" + record_id
    for key, value in store.scan(prefix, successor(prefix)):
        kind, issuer, number, tx_id = decode(value)
        found.append(IndexedRecord(key[len(prefix) :].decode(), kind, issuer, number, record_id, tx_id))
    return found


def carrier(store: Reading, record_id: bytes, chain: str) -> bytes:
    """The id of the transaction that sealed a record version on a chain. Raises LookupError."""
    value = store.get(b"i" + record_id + chain.encode())
    if value is None:
        raise LookupError(f"no record {record_id.hex()} is sealed on {chain}")
    tx_id: bytes = decode(value)[3]
    return tx_id


def issuers(store: Reading, chain: str, kind: str, number: str, most: int = 100) -> list[str]:
    """Who issued a chain's records of a kind and number, sorted; at most ``most``."""
    prefix = chain_prefix(b"x", chain) + _framed(kind) + _framed(number)
    return [key[len(prefix) :].decode() for key, _ in islice(store.scan(prefix, successor(prefix)), most)]


def by_enterprise(
    store: Reading, chain: str, enterprise: str, low: Place, high: Place, *, newest_first: bool = False
) -> Iterator[tuple[Place, list[Listed]]]:
    """Record versions of an enterprise sealed on a chain from one place to another, both included, by transaction, in
    sealing order."""
    prefix = chain_prefix(b"y", chain) + _framed(enterprise)
    for place, value in _between(store, prefix, low, high, newest_first):
        yield place, _listed(chain, enterprise, place, value)


def by_kind(
    store: Reading, chain: str, kind: str, low: Place, high: Place, *, newest_first: bool = False
) -> Iterator[tuple[Place, list[Listed]]]:
    """As ``by_enterprise``, of a kind; within a transaction enterprise by enterprise."""
    prefix, of_enterprise = chain_prefix(b"z", chain) + _framed(kind), chain_prefix(b"y", chain)
    for place, value in _between(store, prefix, low, high, newest_first):
        found: list[Listed] = []
        for enterprise in load(value):
            row = store.get(of_enterprise + _framed(enterprise) + _place(place))
            if row is not None:
                found += [entry for entry in _listed(chain, enterprise, place, row) if entry.record.kind == kind]
        yield place, found


def kinds(store: Reading, chain: str) -> list[str]:
    """The kinds of record that a chain has, by the length of their name, then alphabetically."""
    prefix = chain_prefix(b"z", chain)
    found: list[str] = []
    start = prefix
    while (row := next(iter(store.scan(start, successor(prefix))), None)) is not None:
        size = int.from_bytes(row[0][len(prefix) : len(prefix) + 2], "big")
        name = row[0][len(prefix) + 2 : len(prefix) + 2 + size]
        found.append(name.decode())
        start = successor(prefix + _framed(found[-1])) + b"\xff" * 4
    return found


def _between(
    store: Reading, prefix: bytes, low: Place, high: Place, newest_first: bool
) -> Iterator[tuple[Place, bytes]]:
    """Rows of places under a prefix, low to high."""
    if low > high:
        return
    stop = prefix + _place(high) + b"\x00"  # the first key after that place's
    for key, value in store.scan(prefix + _place(low), stop, reverse=newest_first):
        yield Place(int.from_bytes(key[-12:-4], "big"), int.from_bytes(key[-4:], "big")), value


def _listed(chain: str, enterprise: str, place: Place, value: bytes) -> list[Listed]:
    tx_id, rows = load(value)
    return [
        Listed(IndexedRecord(chain, kind, issuer, number, name, tx_id), enterprise, place)
        for kind, issuer, number, name in rows
    ]


def _sealed(carried: Carried) -> Iterator[tuple[bytes, str, str, str, str]]:
    """Those of a transaction's records that it sealed."""
    for name, data in carried.receipt.events:
        if name == SEALING_EVENT:
            for outcome, record in zip(data["outcomes"], carried.records, strict=True):
                if outcome != KNOWN:
                    yield record


def _place(place: Place) -> bytes:
    return place.height.to_bytes(8, "big") + place.number.to_bytes(4, "big")


def _framed(text: str) -> bytes:
    """Length-framed, so that no text is a prefix of another's key."""
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded
