"""From a parent and transactions to the next header: every root computed, nothing stored.

The leader calls it to propose, a replica to check: the same function, so they agree or a bug shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import merkle
from chain.block import CONSORTIUM, Head, Header, MemberBlock, Receipt
from chain.certificate import Certificate, ValidatorSet
from chain.codec import encode
from chain.crypto import ZERO_HASH
from chain.execution import (
    ActiveVersion,
    BlockScope,
    ChainExecution,
    Overlay,
    StateReader,
    run_consortium,
    run_member_chain,
)
from chain.state import StateTree
from chain.transaction import Transaction

GOV_VALIDATORS: Final = encode(["gov", "validators"])
GOV_PARAMETERS: Final = encode(["gov", "parameters"])
REGISTRY_MEMBERS: Final = encode(["registry", "members"])


@dataclass(frozen=True)
class Parent:
    """The committed ledger at h-1, as the transition to h reads it.

    ``chains`` are the member chains in id order; ``readers``, ``trees`` and ``heads`` are by chain id (the
    consortium has a reader and a tree too); ``seen`` says whether a transaction id is already in a block.
    """

    header: Header
    validators: ValidatorSet
    next_validators: ValidatorSet
    parameters: Mapping[str, Any]
    chains: tuple[str, ...]
    readers: Mapping[str, StateReader]
    trees: Mapping[str, StateTree]
    heads: Mapping[str, Head]
    active: ActiveVersion
    seen: Callable[[bytes], bool]

    @property
    def height(self) -> int:
        """h, the height of the block to come."""
        return self.header.height + 1


@dataclass(frozen=True)
class Transition:
    """All that block h changes. ``validators`` is the set of h + 1, from the state after h."""

    header: Header
    executions: Mapping[str, ChainExecution]
    trees: Mapping[str, StateTree]
    member_blocks: Mapping[str, MemberBlock]
    heads: Mapping[str, Head]

    def receipts(self, chain: str) -> list[Receipt]:
        """Receipts of one chain in order; the consortium's first is that of the hooks."""
        execution = self.executions.get(chain)
        return [] if execution is None else execution.receipts


def apply(
    parent: Parent,
    *,
    time: int,
    proposer: str,
    parent_certificate: Certificate | None,
    member_txs: Mapping[str, Sequence[Transaction]],
    consortium_txs: Sequence[Transaction],
) -> Transition:
    """Execute block h on its parent and compute its header. Time in ms; transactions are already checked."""
    limit = int(parent.parameters.get("max_charge", 1_000_000))
    scope = BlockScope(
        network_id=parent.header.network_id,
        height=parent.height,
        parent_hash=parent.header.digest,
        time=time,
        chains=parent.chains,
        charge_limit=limit,
        hook_charge_limit=10 * limit,
    )
    executions: dict[str, ChainExecution] = {}
    trees = dict(parent.trees)
    heads = dict(parent.heads)
    blocks: dict[str, MemberBlock] = {}
    readers: dict[str, StateReader | Overlay] = {
        chain: reader for chain, reader in parent.readers.items() if chain != CONSORTIUM
    }
    consortium = parent.readers[CONSORTIUM]
    for chain in sorted(member_txs):
        transactions = member_txs[chain]
        done, overlay = run_member_chain(
            scope, chain, transactions, parent.readers[chain], consortium, parent.heads, parent.active
        )
        executions[chain], readers[chain] = done, overlay
        trees[chain] = trees[chain].updated(done.writes.items())
        blocks[chain] = _member_block(scope, parent.heads[chain], transactions, done, trees[chain].root)
        heads[chain] = Head(chain, blocks[chain].height, blocks[chain].hash, trees[chain].root)
    done = run_consortium(scope, consortium_txs, consortium, readers, heads, parent.active)
    executions[CONSORTIUM] = done
    trees[CONSORTIUM] = trees[CONSORTIUM].updated(done.writes.items())
    header = Header(
        network_id=scope.network_id,
        height=scope.height,
        parent_hash=parent.header.digest,
        parent_certificate_hash=ZERO_HASH if parent_certificate is None else parent_certificate.hash,
        time=time,
        proposer=proposer,
        epoch=parent.validators.epoch,
        validators_hash=parent.validators.hash,
        next_validators_hash=parent.next_validators.hash,
        chain_count=len(parent.chains),
        heads_root=heads_root(heads, parent.chains),
        tx_count=len(consortium_txs),
        tx_root=merkle.root([transaction.leaf for transaction in consortium_txs]),
        receipt_root=merkle.root([receipt.encoded for receipt in done.receipts]),
        state_root=trees[CONSORTIUM].root,
    )
    return Transition(header, executions, trees, blocks, heads)


def heads_root(heads: Mapping[str, Head], chains: Sequence[str]) -> bytes:
    """The RFC 6962 root over the chain heads, sorted by chain id."""
    return merkle.root([heads[chain].leaf() for chain in sorted(chains)])


def validators_at(value: Mapping[str, Any], height: int) -> ValidatorSet:
    """The validator set of a height, from gov's ``validators`` entry (R11)."""
    coming = value["next"]
    chosen = coming if coming is not None and height >= coming["at"] else value
    return ValidatorSet(chosen["epoch"], tuple((member, key) for member, key in chosen["set"]))


def _member_block(
    scope: BlockScope,
    head: Head,
    transactions: Sequence[Transaction],
    done: ChainExecution,
    state_root: bytes,
) -> MemberBlock:
    return MemberBlock(
        network_id=scope.network_id,
        chain=head.chain,
        height=head.height + 1,
        parent_hash=head.hash,
        consortium_height=scope.height,
        time=scope.time,
        tx_count=len(transactions),
        tx_root=merkle.root([transaction.leaf for transaction in transactions]),
        receipt_root=merkle.root([receipt.encoded for receipt in done.receipts]),
        state_root=state_root,
    )
