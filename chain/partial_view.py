"""Reading a partial ledger: what ``chain.view.Reads`` answers, where this node has it; else a typed refusal.

A node that follows some chains has headers, certificates and heads of everything, the consortium's transactions and
receipts, and of each chain it follows all that a full node has, up to the height it has executed. A question about
anything else is answered with NOT_FOLLOWED, never with what an older or another state would say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from chain import store as rows
from chain.block import CONSORTIUM, Block, Head, MemberBlock, Receipt
from chain.certificate import ValidatorSet
from chain.chainstate import PastState
from chain.codec import decode, load
from chain.state import StateTree
from chain.store import Snapshot, StoreError
from chain.transition import GOV_PARAMETERS
from chain.view import LedgerError, Location, PrunedError, Reads, needed

META_VALIDATORS: Final = b"m:validators"
META_CHAINS: Final = b"m:chains"


class NotFollowedError(LookupError):
    """A question about what this node does not follow; one line that says whom to ask."""

    code: Final = "NOT_FOLLOWED"


class Pending(NamedTuple):
    """The next block of a followed chain to execute: its head under the header of consortium block ``height``."""

    height: int
    head: Head


class Executed(NamedTuple):
    """How far a chain is executed: its own height, and the consortium height of that block."""

    own: int
    height: int


class PartialReads(Reads):
    """What a partial ledger, or a view of it, answers. ``follow``: the chains it executes, sorted."""

    follow: tuple[str, ...]

    # -- chains -------------------------------------------------------------------------------------------

    @property
    def since(self) -> dict[str, int]:
        """Every chain, and the first height whose header counts it."""
        return dict(load(needed(self.store, META_CHAINS)))

    @property
    def chains(self) -> tuple[str, ...]:
        """Every business chain, sorted."""
        return tuple(sorted(self.since))

    @property
    def followed(self) -> tuple[str, ...]:
        """The chains that are executed here, sorted."""
        return self.follow

    def validators(self) -> ValidatorSet:
        """The set that certifies the next height (R11)."""
        return ValidatorSet.from_value(decode(needed(self.store, META_VALIDATORS)))

    def validators_after(self, height: int) -> ValidatorSet:
        """The set that took over after a height. Raises PrunedError where none did."""
        return ValidatorSet.from_value(decode(self._kept(b"V", height)))

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The consortium's parameters, as of the newest block that this node asked about."""
        found: Mapping[str, Any] = load(needed(self.store, b"g" + GOV_PARAMETERS))
        return found

    def chains_at(self, height: int) -> tuple[str, ...]:
        """The chains that the header of a height counts, sorted."""
        return tuple(sorted(chain for chain, since in self.since.items() if since <= height))

    def head_at(self, chain: str, height: int) -> Head | None:
        """A chain's head after a height that is here; None where the chain was not there yet."""
        prefix = rows.chain_prefix(b"K", chain)
        for _, leaf in self.store.scan(prefix + rows.inverse(height), rows.successor(prefix)):
            return Head.decode(leaf)
        return None

    def heads(self, height: int) -> list[Head]:
        """All chain heads after a height, sorted by chain id. Raises PrunedError."""
        self._kept(b"h", height)
        return [head for chain in self.chains_at(height) if (head := self.head_at(chain, height)) is not None]

    def executed(self, chain: str) -> Executed:
        """How far a followed chain is executed."""
        raw = self.store.get(b"f" + chain.encode())
        return Executed(0, 0) if raw is None else Executed(*load(raw))

    def pending(self, chain: str) -> Pending | None:
        """The block of a followed chain that is to be executed next; None while the chain is up with its head."""
        done = self.executed(chain)
        prefix = rows.chain_prefix(b"K", chain)
        # Heights descend in the keys, so backwards from the executed one is onwards in time.
        for key, leaf in self.store.scan(prefix, prefix + rows.inverse(done.height), reverse=True):
            head = Head.decode(leaf)
            if head.height > done.own:
                return Pending(rows.height_of_inverse(key[-8:]), head)
        return None

    def executed_up_to(self, chain: str) -> int:
        """The newest consortium height whose state of a followed chain is here."""
        coming = self.pending(chain)
        return self.height if coming is None else coming.height - 1

    # -- blocks -------------------------------------------------------------------------------------------

    def block(self, height: int) -> Block:
        """What is here of a block: its header, the consortium's transactions and those of the followed chains that
        are executed so far. Raises PrunedError."""
        groups = []
        for chain in self.follow:
            own = self._own_height(chain, height)
            if own is not None:
                groups.append((chain, tuple(load(self._of_chain(b"P", chain, own)))))
        return Block(self.header(height), None, tuple(groups), tuple(load(self._kept(b"p", height))))

    def block_bytes(self, height: int) -> bytes:
        """A partial ledger has no whole block. Raises NotFollowedError."""
        raise NotFollowedError(f"this node keeps parts of block {height}, not all of it: ask a node that follows all")

    def wires(self, height: int) -> dict[str, list[bytes]]:
        """As of ``Reads``, of what is here of a block. Raises PrunedError."""
        block = self.block(height)
        return {**{chain: list(group) for chain, group in block.member_txs}, CONSORTIUM: list(block.consortium_txs)}

    def receipt_bytes(self, height: int) -> dict[str, list[bytes]]:
        """As of ``Reads``, of what is here of a block. Raises PrunedError."""
        return {chain: [receipt.encoded for receipt in listed] for chain, listed in self.receipts(height).items()}

    def receipts(self, height: int) -> dict[str, list[Receipt]]:
        """The receipts of a height that are here, by chain. Raises PrunedError."""
        found = {}
        for chain in self.follow:
            own = self._own_height(chain, height)
            if own is not None:
                found[chain] = [Receipt.decode(raw) for raw in load(self._of_chain(b"R", chain, own))]
        found[CONSORTIUM] = [Receipt.decode(raw) for raw in load(self._kept(b"r", height))]
        return found

    def receipt(self, place: Location) -> Receipt:
        """The receipt of the transaction at a place. Raises PrunedError, NotFollowedError."""
        if place.chain == CONSORTIUM:
            return Receipt.decode(load(self._kept(b"r", place.height))[place.index + 1])
        return Receipt.decode(load(self._at_place(b"R", place))[place.index])

    def wire(self, place: Location) -> bytes:
        """The wire bytes of the transaction at a place. Raises PrunedError, NotFollowedError."""
        kept = self._kept(b"p", place.height) if place.chain == CONSORTIUM else self._at_place(b"P", place)
        found: bytes = load(kept)[place.index]
        return found

    def member_block(self, chain: str, height: int) -> MemberBlock:
        """The header of a followed chain's block, from its height 1. Raises PrunedError, NotFollowedError."""
        self.check_followed(chain)
        return super().member_block(chain, height)

    # -- state --------------------------------------------------------------------------------------------

    def state_bytes(self, chain: str, key: bytes, height: int | None = None) -> bytes | None:
        """The encoded value at a state key of a followed chain. Raises LedgerError, PrunedError, NotFollowedError."""
        return self._past(chain).get_at(key, self._executed_height(chain, height))

    def tree(self, chain: str, height: int | None = None) -> StateTree:
        """The state tree of a followed chain. Raises as ``state_bytes``."""
        return self._past(chain).tree_at(self._executed_height(chain, height))

    def versions(self, chain: str, key: bytes, height: int) -> Iterator[tuple[int, bytes | None]]:
        """What a state key of a followed chain held, from a height backwards. Raises as ``state_bytes``."""
        yield from self._past(chain).versions(key, self._executed_height(chain, height), 0)

    def check_chain(self, chain: str) -> None:
        """Raise unless transactions of a chain are here: the consortium's are."""
        if chain != CONSORTIUM:
            self.check_followed(chain)

    def check_followed(self, chain: str) -> None:
        """Raise NotFollowedError, or LedgerError for a chain there is none of, unless ``chain`` is followed."""
        if chain in self.follow and chain in self.since:
            return
        if chain == CONSORTIUM:
            raise NotFollowedError(
                "this node does not execute the consortium chain, so it has no state of it: ask a node that follows"
                " all chains, and check its answer with --prove"
            )
        if chain not in self.since:
            raise LedgerError(self._no_chain(chain))
        raise NotFollowedError(
            f"this node has only the heads of chain {chain}: ask a node that follows it, or add it to `follow`"
        )

    # -- inside -------------------------------------------------------------------------------------------

    def _past(self, chain: str) -> PastState:
        self.check_followed(chain)
        return PastState(self.store, chain)

    def _executed_height(self, chain: str, height: int | None) -> int:
        """The height whose state is asked for (None: the newest executed). Raises PrunedError."""
        newest = self.executed_up_to(chain)
        if height is None:
            return newest
        if not 0 <= height <= newest:
            raise PrunedError(f"chain {chain} is executed up to block {newest} here, not {height}: ask again later")
        return height

    def _own_height(self, chain: str, height: int) -> int | None:
        """The own height of the block that a followed chain has in a consortium block and that is executed here."""
        raw = self.store.get(rows.chain_prefix(b"K", chain) + rows.inverse(height))
        own = 0 if raw is None else Head.decode(raw).height
        return own if 0 < own <= self.executed(chain).own else None

    def _at_place(self, prefix: bytes, place: Location) -> bytes:
        self.check_followed(place.chain)
        own = self._own_height(place.chain, place.height)
        if own is None:
            raise PrunedError(f"chain {place.chain} has no block in consortium block {place.height} here")
        return self._of_chain(prefix, place.chain, own)

    def _of_chain(self, prefix: bytes, chain: str, own: int) -> bytes:
        raw = self.store.get(rows.by_height(rows.chain_prefix(prefix, chain), own))
        if raw is None:
            raise StoreError(f"block {own} of chain {chain} is missing: move the folder away and start again")
        return raw


class PartialView(PartialReads):
    """A partial ledger as it was at one moment: for any thread, until it is closed."""

    def __init__(self, store: Snapshot, ledger: PartialReads) -> None:
        """``store`` is a snapshot of the ledger's, taken now."""
        self.store: Snapshot = store
        self.network_id = ledger.network_id
        self.head = ledger.head
        self.follow = ledger.follow

    @cached_property
    def since(self) -> dict[str, int]:
        """Every chain, and the first height whose header counts it."""
        return super().since

    def close(self) -> None:
        """Let the snapshot go; later reads raise SnapshotClosedError."""
        self.store.close()
