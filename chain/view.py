"""Reading a committed ledger: blocks, receipts, heads, state and trees at any height, from rows alone.

``Reads`` is what the ledger and a view of it answer alike; proofs and queries are made from either. A ``View`` stands
on a snapshot of the store, taken right after a block was committed: it may be read in any thread while the next block
executes, and it never changes. What is pruned is refused, never answered with another height's value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from chain import store as rows
from chain import transition
from chain.block import CONSORTIUM, Block, Head, Header, MemberBlock, Receipt
from chain.certificate import Certificate, ValidatorSet
from chain.chainstate import PastState
from chain.codec import decode, load
from chain.state import StateTree
from chain.store import Reading, Snapshot, StoreError
from chain.transition import GOV_PARAMETERS, GOV_VALIDATORS, REGISTRY_MEMBERS

META_GENESIS: Final = b"m:genesis"
META_PRUNED: Final = b"m:pruned"
"""The first height whose state is kept; absent where nothing was pruned (``chain/pruning.py``)."""

_TIME: Final = 6
"""The place of the time in a header's array."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a transaction stands: consortium height, chain, index in that chain's part of the block."""

    height: int
    chain: str
    index: int


class LedgerError(RuntimeError):
    """A ledger that does not fit what is asked of it; one line that says what to do."""


class PrunedError(LookupError):
    """The height asked for is not kept here (or not reached yet); never answered with another one's value."""


class StatePrunedError(PrunedError):
    """The state of the height asked for was pruned at this node."""


class Reads:
    """What a committed ledger answers. ``head`` is the newest header, ``network_id`` the genesis hash (32 bytes),
    ``pruned_below`` the first height whose state is kept."""

    store: Reading
    network_id: bytes
    head: Header
    pruned_below: int = 0

    @property
    def height(self) -> int:
        """Height of the newest committed block; 0 is genesis."""
        return self.head.height

    @property
    def chains(self) -> tuple[str, ...]:
        """Member chain ids, sorted."""
        known = {head.chain for head in self.heads(self.height)}
        return tuple(sorted(known.union(self.state(CONSORTIUM, REGISTRY_MEMBERS) or [])))

    @property
    def followed(self) -> tuple[str, ...]:
        """The business chains whose transactions and state are here, sorted: all, but in a partial ledger."""
        return self.chains

    @property
    def document(self) -> dict[str, Any]:
        """The genesis document."""
        value: dict[str, Any] = decode(needed(self.store, META_GENESIS))
        return value

    # -- blocks -----------------------------------------------------------------------------------------

    def header(self, height: int) -> Header:
        """The consortium header of a height. Raises PrunedError."""
        return Header.decode(self._kept(b"h", height))

    def time(self, height: int) -> int:
        """The block time of a height, ms. Raises PrunedError."""
        found: int = load(self._kept(b"h", height))[_TIME]
        return found

    def certificate(self, height: int) -> Certificate | None:
        """The certificate held for a height; the canonical one once its child is committed."""
        raw = self.store.get(rows.by_height(b"c", height))
        return None if raw is None else Certificate.decode(raw)

    def block(self, height: int) -> Block:
        """The block of a height, from 1. Raises PrunedError."""
        return Block.decode(self.block_bytes(height))

    def block_bytes(self, height: int) -> bytes:
        """The canonical bytes of a block, as they were agreed on. Raises PrunedError."""
        return self._kept(b"b", height)

    def heads(self, height: int) -> list[Head]:
        """All chain heads after a height, sorted by chain id. Raises PrunedError."""
        return [Head.decode(raw) for raw in decode(self._kept(b"k", height))]

    def receipts(self, height: int) -> dict[str, list[Receipt]]:
        """The receipts of a height by chain; the consortium's first is that of the hooks. Raises PrunedError."""
        stored = decode(self._kept(b"r", height))
        return {chain: [Receipt.decode(raw) for raw in listed] for chain, listed in stored}

    def receipt_bytes(self, height: int) -> dict[str, list[bytes]]:
        """As ``receipts``, the bytes of each. Raises PrunedError."""
        return dict(load(self._kept(b"r", height)))

    def receipt(self, place: Location) -> Receipt:
        """The receipt of the transaction at a place. Raises PrunedError."""
        offset = 1 if place.chain == CONSORTIUM else 0
        listed = self.receipt_bytes(place.height).get(place.chain)
        if listed is None:
            raise PrunedError(f"block {place.height} holds no receipts of chain {place.chain}")
        return Receipt.decode(listed[place.index + offset])

    def wires(self, height: int) -> dict[str, list[bytes]]:
        """The wire bytes of a block's transactions by chain, the consortium's last. Raises PrunedError."""
        _, _, _, _, members, own = load(self.block_bytes(height))
        return {**dict(members), CONSORTIUM: own}

    def wire(self, place: Location) -> bytes:
        """The wire bytes of the transaction at a place. Raises PrunedError."""
        return self.wires(place.height)[place.chain][place.index]

    def member_block(self, chain: str, height: int) -> MemberBlock:
        """The header of a business chain's block, from its height 1. Raises PrunedError."""
        raw = self.store.get(rows.by_height(rows.chain_prefix(b"M", chain), height))
        if raw is None:
            raise PrunedError(f"chain {chain} has no block {height} here")
        return MemberBlock.decode(raw)

    def validators_after(self, height: int) -> ValidatorSet:
        """The set that certifies the block after a height (R11). Raises PrunedError."""
        return transition.validators_at(self.state(CONSORTIUM, GOV_VALIDATORS, height), height + 1)

    def locate(self, tx_id: bytes) -> Location | None:
        """Where a transaction stands, or None if it is in no block."""
        raw = self.store.get(b"t" + tx_id)
        return None if raw is None else Location(*decode(raw))

    def seen(self, tx_id: bytes) -> bool:
        """Whether a transaction is in a block already."""
        return self.store.get(b"t" + tx_id) is not None

    # -- state ------------------------------------------------------------------------------------------

    def state(self, chain: str, key: bytes, height: int | None = None) -> Any:
        """The decoded value at an encoded state key, at the head or at a height. Raises as ``state_bytes``."""
        raw = self.state_bytes(chain, key, height)
        return None if raw is None else decode(raw)

    def state_bytes(self, chain: str, key: bytes, height: int | None = None) -> bytes | None:
        """The encoded value at an encoded state key, None where absent.

        Raises LedgerError for an unknown chain, PrunedError for a height not reached or not kept.
        """
        past = self._past(chain)
        if chain == CONSORTIUM and key == GOV_VALIDATORS:  # every proof needs its history: it is never pruned
            return past.get_at(key, self.reached(height))
        return past.get_at(key, self._readable(height))

    def tree(self, chain: str, height: int | None = None) -> StateTree:
        """The state tree of a chain at the head or a height; it proves. Raises as ``state_bytes``."""
        past = self._past(chain)
        return past.tree_at(self._readable(height))

    def versions(self, chain: str, key: bytes, height: int) -> Iterator[tuple[int, bytes | None]]:
        """(height that wrote it, value bytes or None where it was deleted) of an encoded state key, from a height
        backwards; where state was pruned, to the one that stood at the first height kept. Raises as ``state_bytes``.
        """
        yield from self._past(chain).versions(key, self._readable(height), self.pruned_below)

    def check_chain(self, chain: str) -> None:
        """Raises LedgerError where there is no such chain."""
        self._past(chain)

    def reached(self, height: int | None) -> int:
        """A height (None: the newest). Raises PrunedError where it is not reached yet."""
        if height is None:
            return self.height
        if not 0 <= height <= self.height:
            raise PrunedError(self._not_kept(height))
        return height

    # -- inside -----------------------------------------------------------------------------------------

    def _past(self, chain: str) -> PastState:
        """The state of a chain. Raises LedgerError."""
        if chain != CONSORTIUM and chain not in self.chains:
            raise LedgerError(self._no_chain(chain))
        return PastState(self.store, chain)

    def _readable(self, height: int | None) -> int:
        """The height whose state is asked for (None: the newest). Raises PrunedError, StatePrunedError."""
        found = self.reached(height)
        if found < self.pruned_below:
            raise StatePrunedError(
                f"the state of block {found} was pruned at this node, which keeps that of block {self.pruned_below}"
                " and later: ask a node that keeps all"
            )
        return found

    def _no_chain(self, chain: str) -> str:
        return f"there is no chain {chain!r}: known are {', '.join((*self.chains, CONSORTIUM))}"

    def _not_kept(self, height: int) -> str:
        return f"block {height} is not kept here; the head is block {self.height}"

    def _kept(self, prefix: bytes, height: int) -> bytes:
        raw = None if height < 0 else self.store.get(rows.by_height(prefix, height))
        if raw is None:
            raise PrunedError(self._not_kept(height))
        return raw


class View(Reads):
    """The ledger as it was when a block had just been committed: for any thread, until it is closed."""

    def __init__(self, store: Snapshot, network_id: bytes, head: Header, pruned_below: int) -> None:
        """``store`` is a snapshot of the ledger's, ``head`` the newest header in it."""
        self.store: Snapshot = store
        self.network_id = network_id
        self.head = head
        self.pruned_below = pruned_below

    @cached_property
    def chains(self) -> tuple[str, ...]:
        """Member chain ids, sorted."""
        return super().chains

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The consortium's parameters after the head."""
        found: Mapping[str, Any] = self.state(CONSORTIUM, GOV_PARAMETERS) or {}
        return found

    def validators(self) -> ValidatorSet:
        """The validator set that agrees on the next height (R11)."""
        return transition.validators_at(self.state(CONSORTIUM, GOV_VALIDATORS), self.height + 1)

    def close(self) -> None:
        """Let the snapshot go; later reads raise SnapshotClosedError."""
        self.store.close()


def pruned_below(store: Reading) -> int:
    """The first height whose state a store keeps."""
    raw = store.get(META_PRUNED)
    return 0 if raw is None else int(decode(raw))


def needed(store: Reading, key: bytes) -> bytes:
    """A row that every ledger has. Raises StoreError."""
    raw = store.get(key)
    if raw is None:
        raise StoreError(
            f"the ledger lacks its row {key[:2].decode(errors='replace')}: it is damaged; move its folder away and"
            " start again to sync it from the peers, or restore a backup"
        )
    return raw
