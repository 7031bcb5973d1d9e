"""The committed ledger of one node: genesis, the head, the one synced batch a block, and reads at any height.

``commit`` is the only place where a block becomes durable (R5). What is read here is what was certified; the
mempool, agreement and the network know nothing of rows, and this file nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chain import store as rows
from chain import transition
from chain.block import CONSORTIUM, Block, Head, Header, Receipt, genesis_member_hash
from chain.certificate import Certificate, SignatureCheck, ValidatorSet
from chain.chainstate import ChainState
from chain.codec import decode, encode, pack
from chain.crypto import ZERO_HASH, verify
from chain.execution import BlockScope, Overlay, TransactionContext
from chain.identity import genesis_hash, genesis_validators
from chain.index import index_rows
from chain.merkle import EMPTY_ROOT
from chain.notices import notice_rows
from chain.state import StateTree
from chain.store import KeyValue
from chain.transaction import Transaction
from chain.transition import GOV_PARAMETERS, GOV_VALIDATORS, REGISTRY_MEMBERS, Parent, Transition
from chain.validity import Lookup, check_block
from chain.view import META_GENESIS, LedgerError, Location, PrunedError, Reads, View, needed, pruned_below
from contracts.catalog import CONTRACTS

META_FORMAT: Final = b"m:format"
META_NETWORK: Final = b"m:network"
META_HEAD: Final = b"m:head"
__all__ = ["META_HEAD", "META_NETWORK", "Ledger", "LedgerError", "Location", "PrunedError", "genesis_state"]
GENESIS_CHARGE: Final = 100_000_000
TREE_ENTRIES: Final = 600_000
"""State keys whose tree nodes may all stay in memory (about 130 bytes a key)."""
FORGET_AFTER: Final = 150_000
"""With more keys than that, changed nodes after which the trees are read afresh from their tops."""


class Ledger(Reads):
    """One node's committed ledger. Not thread-safe: one loop owns it; other threads read its ``view``."""

    def __init__(self, store: KeyValue, network_id: bytes, signature_check: SignatureCheck = verify) -> None:
        """Open a ledger. Raises LedgerError if the store is another network's or of another format."""
        self.store: KeyValue = store
        self.network_id = network_id
        self.pruned_below = pruned_below(store)
        self._signature_check = signature_check
        _check_identity(store, network_id)
        height = int(decode(needed(store, META_HEAD)))
        self.head = Header.decode(needed(store, rows.by_height(b"h", height)))
        self._states: dict[str, ChainState] = {}
        self._heads: dict[str, Head] = {}
        self._cached = 0
        for raw in decode(needed(store, rows.by_height(b"k", height))):
            head = Head.decode(raw)
            self._heads[head.chain] = head
        for chain in (*self._heads, CONSORTIUM):
            self._states[chain] = ChainState(store, chain)
        self._check_roots()
        self._add_new_chains()
        self._parent = self._make_parent()

    # -- genesis ----------------------------------------------------------------------------------------

    @classmethod
    def create(cls, store: KeyValue, document: Mapping[str, Any], signature_check: SignatureCheck = verify) -> Ledger:
        """Write the genesis state of a document (see ``genesis_hash``) into an empty store and open it."""
        if store.get(META_NETWORK) is not None:
            raise LedgerError("this folder already holds a ledger: open it, or choose an empty folder")
        network_id = genesis_hash(document)
        header, state_rows, heads = genesis_state(document)
        store.write(
            [
                (META_FORMAT, encode(rows.FORMAT)),
                (META_NETWORK, network_id),
                (META_GENESIS, encode(dict(document))),
                *state_rows,
                (rows.by_height(b"h", 0), header.encoded),
                (rows.by_height(b"k", 0), encode([head.leaf() for head in heads])),
                (META_HEAD, encode(0)),
            ]
        )
        return cls(store, network_id, signature_check)

    # -- the next block ---------------------------------------------------------------------------------

    @property
    def parent(self) -> Parent:
        """The view a transition to the next height starts from."""
        return self._parent

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The consortium's parameters after the head."""
        return self._parent.parameters

    @property
    def chains(self) -> tuple[str, ...]:
        """Member chain ids, sorted."""
        return self._parent.chains

    def validators(self) -> ValidatorSet:
        """The validator set that agrees on the next height (R11)."""
        return self._parent.validators

    def build(
        self,
        *,
        proposer: str,
        time: int,
        member_txs: Mapping[str, Sequence[Transaction]],
        consortium_txs: Sequence[Transaction],
    ) -> tuple[Block, Transition]:
        """Execute transactions on the head and return the proposal. Time in ms, after the parent's."""
        certificate = self.certificate(self.height) if self.height else None
        chosen = {chain: txs for chain, txs in member_txs.items() if txs}
        outcome = transition.apply(
            self._parent,
            time=time,
            proposer=proposer,
            parent_certificate=certificate,
            member_txs=chosen,
            consortium_txs=consortium_txs,
        )
        groups = tuple((chain, tuple(tx.wire for tx in chosen[chain])) for chain in sorted(chosen))
        return Block(outcome.header, certificate, groups, tuple(tx.wire for tx in consortium_txs)), outcome

    def execute(self, block: Block, lookup: Lookup = lambda _wire: None) -> Transition:
        """Check a block on the head in full. Raises ``chain.validity.InvalidBlockError``."""
        return check_block(
            self._parent,
            block,
            parent_validators=self._certifying(self.height),
            lookup=lookup,
            signature_check=self._signature_check,
        )

    def commit(
        self, block: Block, certificate: Certificate, outcome: Transition, transactions: Iterable[Transaction]
    ) -> None:
        """Make a decided block durable in one synced batch (R5), then move the head.

        The certificate must stand for exactly this block under the set of this height. ``transactions`` are the
        block's, in block order. Raises CertificateError, StoreError.
        """
        if certificate.digest != block.digest or certificate.height != self.height + 1:
            raise LedgerError("the certificate is not of this block")
        certificate.check(self._parent.validators, self.network_id, self._signature_check)
        if outcome.header.digest != block.digest:
            raise LedgerError("the outcome is not of this block")
        listed = tuple(transactions)
        if [transaction.wire for transaction in listed] != block.wires:
            # Their rows are how a repeat is known.
            raise LedgerError("the transactions are not those of this block, in its order")
        self.store.write(self._rows_of(block, certificate, outcome, listed))
        self.head = block.header
        self._heads = dict(outcome.heads)
        for chain, execution in outcome.executions.items():
            self._states[chain].advance(block.height, outcome.trees[chain], execution.writes)
            self._cached += len(outcome.trees[chain].rows)
        self._add_new_chains()
        if self._cached > FORGET_AFTER:
            self._cached = 0
            if sum(state.entries for state in self._states.values()) > TREE_ENTRIES:
                for state in self._states.values():
                    state.forget()
        self._parent = self._make_parent()

    # -- reads ------------------------------------------------------------------------------------------

    def view(self) -> View:
        """What is committed now, for other threads and for as long as it is wanted (``View.close``)."""
        return View(self.store.snapshot(), self.network_id, self.head, self.pruned_below)

    def state_bytes(self, chain: str, key: bytes, height: int | None = None) -> bytes | None:
        """As of ``Reads``; at the head from what the chain's state keeps in memory."""
        if height is None or height == self.height:
            return self._past(chain).get(key)
        return super().state_bytes(chain, key, height)

    def tree(self, chain: str, height: int | None = None) -> StateTree:
        """As of ``Reads``; at the head the very tree that the next block is made on."""
        if height is None or height == self.height:
            return self._past(chain).tree
        return super().tree(chain, height)

    def simulate(self, transaction: Transaction, time: int) -> Receipt:
        """What a transaction would do on the head, alone; nothing is written. Raises LedgerError."""
        if transaction.chain not in self._states:
            raise LedgerError(self._no_chain(transaction.chain))
        alone = [transaction]
        member = {} if transaction.chain == CONSORTIUM else {transaction.chain: alone}
        outcome = transition.apply(
            self._parent,
            time=max(time, self.head.time + 1),
            proposer=self.validators().ids[0],
            parent_certificate=None,
            member_txs=member,
            consortium_txs=alone if transaction.chain == CONSORTIUM else [],
        )
        return outcome.receipts(transaction.chain)[-1]

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    # -- inside -----------------------------------------------------------------------------------------

    def _past(self, chain: str) -> ChainState:
        state = self._states.get(chain)
        if state is None:
            raise LedgerError(self._no_chain(chain))
        return state

    def _certifying(self, height: int) -> ValidatorSet | None:
        """The set that certified a committed height, None for genesis: from the state before that height."""
        if height == 0:
            return None
        value = self.state(CONSORTIUM, GOV_VALIDATORS, height - 1)
        return transition.validators_at(value, height)

    def _make_parent(self) -> Parent:
        consortium = self._states[CONSORTIUM]
        validators = consortium.shared(GOV_VALIDATORS)
        versions: dict[str, int | None] = {}

        def active(name: str) -> int | None:
            if name not in versions:
                versions[name] = version_at(consortium.shared(encode(["gov", "contract", name])), self.height + 1)
            return versions[name]

        return Parent(
            header=self.head,
            validators=transition.validators_at(validators, self.height + 1),
            next_validators=transition.validators_at(validators, self.height + 2),
            parameters=consortium.shared(GOV_PARAMETERS) or {},
            chains=tuple(sorted(self._heads)),
            readers=self._states,
            trees={chain: state.tree for chain, state in self._states.items()},
            heads=self._heads,
            active=active,
            seen=self.seen,
        )

    def _add_new_chains(self) -> None:
        """Members registered up to the head: their chains start empty and count from the next block on."""
        for chain in self._states[CONSORTIUM].shared(REGISTRY_MEMBERS) or []:
            if chain not in self._heads:
                self._heads[chain] = _empty_head(self.network_id, chain)
                self._states[chain] = ChainState(self.store, chain)

    def _rows_of(
        self, block: Block, certificate: Certificate, outcome: Transition, transactions: Iterable[Transaction]
    ) -> list[tuple[bytes, bytes | None]]:
        height = block.height
        batch: list[tuple[bytes, bytes | None]] = [
            (rows.by_height(b"h", height), block.header.encoded),
            (rows.by_height(b"b", height), block.encoded),
            (rows.by_height(b"c", height), certificate.encode()),
            (rows.by_height(b"r", height), _encode_receipts(outcome)),
        ]
        if block.parent_certificate is not None:
            # The one this header commits to is canonical for its parent, whatever this node had (PROTOCOL.md).
            batch.append((rows.by_height(b"c", height - 1), block.parent_certificate.encode()))
        for chain, member in outcome.member_blocks.items():
            batch.append((rows.by_height(rows.chain_prefix(b"M", chain), member.height), member.encoded))
        places: dict[str, int] = {}
        for transaction in transactions:
            index = places.get(transaction.chain, 0)
            places[transaction.chain] = index + 1
            batch.append((b"t" + transaction.id, pack([height, transaction.chain, index])))
        for chain, execution in outcome.executions.items():
            batch.extend(self._states[chain].rows(height, outcome.trees[chain], execution.writes))
        batch.extend(index_rows(height, outcome))
        batch.extend(notice_rows(height, block.header.time, outcome))
        heads = [outcome.heads[chain].leaf() for chain in sorted(outcome.heads)]
        batch.append((rows.by_height(b"k", height), encode(heads)))
        batch.append((META_HEAD, encode(height)))
        return batch

    def _check_roots(self) -> None:
        """The stored trees must have the roots the head commits to, or the store is damaged."""
        wanted = {chain: head.state_root for chain, head in self._heads.items()}
        wanted[CONSORTIUM] = self.head.state_root
        for chain, root in wanted.items():
            if self._states[chain].tree.root != root:
                raise LedgerError(
                    f"the state of chain {chain} does not match block {self.height}: the ledger is damaged; move"
                    " its folder away and start again to sync it from the peers, or restore a backup"
                )


def genesis_state(
    document: Mapping[str, Any],
) -> tuple[Header, list[tuple[bytes, bytes | None]], list[Head]]:
    """The header of height 0, its state rows and the empty member heads: a function of the document alone."""
    network_id = genesis_hash(document)
    chains = tuple(sorted(member["id"] for member in document["members"]))
    heads = {chain: _empty_head(network_id, chain) for chain in chains}
    scope = BlockScope(network_id, 0, b"", document["time"], chains, GENESIS_CHARGE, GENESIS_CHARGE)
    memory = rows.MemoryStore()
    empty = ChainState(memory, CONSORTIUM)
    overlay = Overlay(empty)
    for (name, version), contract in sorted(CONTRACTS.items()):
        if contract.genesis is None or document["contracts"].get(name) != version:
            continue
        context = TransactionContext(scope, CONSORTIUM, name, overlay, {}, heads, GENESIS_CHARGE)
        contract.genesis(context, dict(document))
        overlay.writes.update(context.sealed())
    tree = empty.tree.updated(overlay.writes.items())
    written = encode(["gov", "validators"])
    validators = transition.validators_at(decode(overlay.writes[written] or b""), 0)
    if validators != genesis_validators(document):
        raise LedgerError("the gov contract's first validators are not those the genesis hash commits to")
    header = Header(
        network_id=network_id,
        height=0,
        parent_hash=ZERO_HASH,
        parent_certificate_hash=ZERO_HASH,
        time=document["time"],
        proposer="",
        epoch=validators.epoch,
        validators_hash=validators.hash,
        next_validators_hash=validators.hash,
        chain_count=len(chains),
        heads_root=transition.heads_root(heads, chains),
        tx_count=0,
        tx_root=EMPTY_ROOT,
        receipt_root=EMPTY_ROOT,
        state_root=tree.root,
    )
    return header, empty.rows(0, tree, overlay.writes), [heads[chain] for chain in chains]


def _empty_head(network_id: bytes, chain: str) -> Head:
    return Head(chain, 0, genesis_member_hash(network_id, chain), StateTree.empty().root)


def version_at(history: Any, height: int) -> int | None:
    """The version active at a height, from ``[[version, from height], …]``."""
    active = None
    for version, start in history or []:
        if start <= height:
            active = version
    return active


def _encode_receipts(outcome: Transition) -> bytes:
    listed = [
        [chain, [receipt.encoded for receipt in outcome.executions[chain].receipts]]
        for chain in sorted(outcome.executions)
    ]
    return encode(listed)


def _check_identity(store: KeyValue, network_id: bytes) -> None:
    found = store.get(META_NETWORK)
    if found is None:
        raise LedgerError("this folder holds no ledger yet: create it from the sealed genesis file")
    if found != network_id:
        raise LedgerError(
            f"the ledger is of network {found.hex()[:16]}…, the genesis file of {network_id.hex()[:16]}…:"
            " point `data` and `genesis` in node.toml at the same network"
        )
    if decode(needed(store, META_FORMAT)) != rows.FORMAT:
        raise LedgerError(f"the ledger is not of store format {rows.FORMAT}: use the release that wrote it")
