"""Dropping old state: superseded values and tree nodes that only heights below a mark need.

Blocks, receipts, headers, certificates, heads, indexes and the current state stay; so does the history of validators,
which every proof needs. First the mark is written and synced, so that no read below it is answered any more; then
rows go, batch by batch. A crash in between leaves a ledger that is whole from the mark on, and the next pruning takes
up what is left. Only for a ledger that no node has open (LevelDB's lock sees to that).

A version (value or node) is needed at the mark and above if it is newer than the mark, or the newest at or below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from chain.block import CONSORTIUM
from chain.codec import encode
from chain.ledger import Ledger
from chain.store import KeyValue, chain_prefix, height_of_inverse, successor
from chain.transition import GOV_VALIDATORS
from chain.view import META_PRUNED, LedgerError

BATCH: Final = 20_000
"""Rows deleted in one synced write."""
_HEIGHT: Final = 8


class Pruned(NamedTuple):
    """What was dropped. ``below``: the first height whose state is kept."""

    below: int
    values: int
    nodes: int


def prune(ledger: Ledger, below: int, say: Callable[[str], None] = lambda _line: None) -> Pruned:
    """Drop the state of all heights below one, of every chain; what an earlier pruning left over goes as well.

    ``ledger`` must not be read below the mark, nor be advanced, afterwards: open it again. Raises LedgerError where
    ``below`` is above the head or below 1; StoreError.
    """
    if not 1 <= below <= ledger.height:
        raise LedgerError(
            f"cannot prune below block {below}: give a height from 1 to the newest block's, {ledger.height}"
        )
    mark = max(below, ledger.pruned_below)
    store = ledger.store
    if mark > ledger.pruned_below:
        store.write([(META_PRUNED, encode(mark))])
    values = nodes = 0
    for chain in (*ledger.chains, CONSORTIUM):
        values += _delete(store, _old_values(store, chain, mark))
        nodes += _delete(store, _old_nodes(store, chain, mark))
        say(f"{chain}: done")
    return Pruned(mark, values, nodes)


def _delete(store: KeyValue, keys: Iterable[bytes]) -> int:
    """Delete rows in batches; how many there were. The keys are read from the store while it shrinks, so a batch is
    gathered whole before it is written."""
    count = 0
    batch: list[tuple[bytes, bytes | None]] = []
    for key in keys:
        batch.append((key, None))
        if len(batch) == BATCH:
            store.write(batch)
            count += len(batch)
            batch = []
    if batch:
        store.write(batch)
    return count + len(batch)


def _old_values(store: KeyValue, chain: str, mark: int) -> Iterator[bytes]:
    """The rows of superseded values that no height from the mark on shows."""
    prefix, newest = chain_prefix(b"v", chain), chain_prefix(b"s", chain)
    validators = prefix + len(GOV_VALIDATORS).to_bytes(4, "big") + GOV_VALIDATORS
    group, superseded = b"", 0
    for row, _ in store.scan(prefix, successor(prefix)):
        name, written = row[:-_HEIGHT], height_of_inverse(row[-_HEIGHT:])
        if name != group:
            group = name
            current = store.get(newest + name[len(prefix) + 4 :])
            superseded = 0 if current is None else int.from_bytes(current[:_HEIGHT], "big")
        if superseded <= mark and not (chain == CONSORTIUM and name == validators):
            yield row
        superseded = written


def _old_nodes(store: KeyValue, chain: str, mark: int) -> Iterator[bytes]:
    """The rows of tree nodes that no root from the mark on leads to by their newest version."""
    prefix = chain_prefix(b"n", chain)
    group, covered = b"", False
    for row, _ in store.scan(prefix, successor(prefix)):
        name = row[:-_HEIGHT]
        if name != group:
            group, covered = name, False
        if covered:
            yield row
        covered = covered or height_of_inverse(row[-_HEIGHT:]) <= mark
