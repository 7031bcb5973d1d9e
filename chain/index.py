"""Derived rows for finding records: by id, by kind and number whoever issued it, and by enterprise in sealing order.
Never read by contracts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from chain.block import CONSORTIUM
from chain.codec import decode, pack
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


START: Final = Place(0, 0)
"""Before every record: block 0 has none."""


def index_rows(height: int, outcome: Transition) -> Iterator[tuple[bytes, bytes]]:
    """The index rows of a block."""
    for chain, execution in outcome.executions.items():
        if chain == CONSORTIUM:
            continue
        of_number, of_enterprise = chain_prefix(b"x", chain), chain_prefix(b"y", chain)
        kinds: dict[str, bytes] = {}
        name = chain.encode()
        for number, carried in enumerate(execution.carried):
            tx_id = carried.receipt.tx_id
            listed: dict[str, list[Any]] = {}
            for record_id, kind, issuer, label, enterprise in _sealed(carried):
                yield b"i" + record_id + name, pack([kind, issuer, label, tx_id])
                of_kind = kinds.get(kind)
                if of_kind is None:
                    of_kind = kinds[kind] = of_number + _framed(kind)
                yield of_kind + _framed(label) + issuer.encode(), b""
                listed.setdefault(enterprise, []).append([kind, issuer, label, record_id])
            for enterprise, rows in listed.items():
                yield of_enterprise + _framed(enterprise) + _place(Place(height, number)), pack([tx_id, rows])


def by_id(store: Reading, record_id: bytes) -> list[IndexedRecord]:
    """The record version with an id, once for each chain that sealed it, in chain order."""
    found = []
    prefix = b"i" + record_id
    for key, value in store.scan(prefix, successor(prefix)):
        kind, issuer, number, tx_id = decode(value)
        found.append(IndexedRecord(key[len(prefix) :].decode(), kind, issuer, number, record_id, tx_id))
    return found


def issuers(store: Reading, chain: str, kind: str, number: str, most: int = 100) -> list[str]:
    """Who issued a chain's records of a kind and number, sorted; at most ``most``."""
    prefix = chain_prefix(b"x", chain) + _framed(kind) + _framed(number)
    return [key[len(prefix) :].decode() for key, _ in islice(store.scan(prefix, successor(prefix)), most)]


def by_enterprise(
    store: Reading, chain: str, enterprise: str, after: Place, most: int
) -> list[tuple[Place, list[IndexedRecord]]]:
    """Record versions of an enterprise in sealing order, by transaction: those after a place, at most ``most``."""
    prefix = chain_prefix(b"y", chain) + _framed(enterprise)
    found = []
    for key, value in islice(store.scan(prefix + _place(after) + b"\x00", successor(prefix)), most):
        tx_id, rows = decode(value)
        place = Place(int.from_bytes(key[-12:-4], "big"), int.from_bytes(key[-4:], "big"))
        found.append(
            (place, [IndexedRecord(chain, kind, issuer, number, name, tx_id) for kind, issuer, number, name in rows])
        )
    return found


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
