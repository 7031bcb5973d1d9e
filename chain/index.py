"""Derived rows for finding records: by id, and by kind and number whoever issued it. Never read by contracts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chain.block import CONSORTIUM
from chain.codec import decode, pack
from chain.store import KeyValue, chain_prefix, successor
from chain.transition import Transition

SEALING_EVENTS: Final = frozenset({"record_sealed", "record_corrected"})


@dataclass(frozen=True, slots=True)
class IndexedRecord:
    """One sealed record version: its chain, natural key, id, and the transaction that carried it."""

    chain: str
    kind: str
    issuer: str
    number: str
    record_id: bytes
    tx_id: bytes


def index_rows(outcome: Transition) -> Iterator[tuple[bytes, bytes]]:
    """The index rows of a block, from the events of its receipts."""
    for chain, execution in outcome.executions.items():
        if chain == CONSORTIUM:
            continue
        prefix = chain_prefix(b"x", chain)
        for receipt in execution.receipts:
            for name, data in receipt.events:
                if name in SEALING_EVENTS:
                    kind, issuer, number, record_id = data["kind"], data["issuer"], data["number"], data["id"]
                    place = [chain, kind, issuer, number, receipt.tx_id]
                    yield b"i" + record_id, pack(place)
                    yield prefix + _key(kind, number, issuer), record_id


def by_id(store: KeyValue, record_id: bytes) -> IndexedRecord | None:
    """The record version with an id."""
    raw = store.get(b"i" + record_id)
    if raw is None:
        return None
    chain, kind, issuer, number, tx_id = decode(raw)
    return IndexedRecord(chain, kind, issuer, number, record_id, tx_id)


def by_number(store: KeyValue, chain: str, kind: str, number: str, most: int = 100) -> list[IndexedRecord]:
    """The newest versions of a chain's records of a kind and number, by issuer; at most ``most``."""
    found: list[IndexedRecord] = []
    prefix = chain_prefix(b"x", chain) + _key(kind, number, "")
    for _, record_id in store.scan(prefix, successor(prefix)):
        record = by_id(store, record_id)
        if record is not None:
            found.append(record)
        if len(found) >= most:
            break
    return found


def _key(kind: str, number: str, issuer: str) -> bytes:
    """Kind and number length-framed, so that no number is a prefix of another's key; then the issuer."""
    head = kind.encode()
    middle = number.encode()
    return len(head).to_bytes(2, "big") + head + len(middle).to_bytes(2, "big") + middle + issuer.encode()
