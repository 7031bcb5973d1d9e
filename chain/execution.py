"""Execution of a block on overlays: pure in its inputs, metered, all or nothing per transaction.

Order within block h (DESIGN.md, One agreement, many chains): the transactions of each business chain, chains
in id order, each chain reading itself and the consortium as of h-1; then the contracts' ``begin_block`` hooks
and the consortium's own transactions, which read every business chain with its block of h applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from chain import merkle
from chain.block import CONSORTIUM, Head, Receipt
from chain.codec import CodecError, decode, encode, encode_key, known_key, load, pack
from chain.crypto import hash_value, sha256, verify
from chain.state import StateError
from chain.store import StoreError
from chain.transaction import Transaction
from contracts.catalog import CONTRACTS, Contract
from contracts.errors import ContractError

CHARGE_GET: Final = 2
CHARGE_PUT: Final = 6
CHARGE_BYTES: Final = 64
"""Bytes written for one unit."""
CHARGE_RECORD: Final = 10
MAX_EVENTS: Final = 1024
MAX_RESULT_SIZE: Final = 128 * 1024
MAX_RECORD_VALUES: Final = 65_536
"""Values in one record: names, fields and cells together. A thousand lines have 8,000."""
HOOK_TX_ID: Final = bytes(32)
"""The receipt of a block's begin_block hooks carries this id: no transaction has it."""

_ABSENT: Final = object()


class StateReader(Protocol):
    """Committed state of one chain as of h-1."""

    def get(self, key: bytes) -> bytes | None:
        """Encoded value at an encoded key."""

    def shared(self, key: bytes) -> Any:
        """The decoded value, the same object each time: for reads of other contracts, never modified."""


@dataclass(frozen=True, slots=True)
class BlockScope:
    """What all transactions of a block share. Time in ms; limits are units a transaction may be charged.

    ``parent_hash``: of the consortium block before; b"" for genesis.
    """

    network_id: bytes
    height: int
    parent_hash: bytes
    time: int
    chains: tuple[str, ...]
    charge_limit: int
    hook_charge_limit: int


class Overlay:
    """Writes of this block on one chain, over its committed state."""

    __slots__ = ("base", "writes")

    def __init__(self, base: StateReader) -> None:
        self.base = base
        self.writes: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Encoded value, this block's writes included."""
        value = self.writes.get(key, _ABSENT)
        return self.base.get(key) if value is _ABSENT else value  # type: ignore[return-value]
        # (the sentinel is an object, so that an absent write and a deleted key differ)

    def shared(self, key: bytes) -> Any:
        """Decoded value, this block's writes included."""
        value = self.writes.get(key, _ABSENT)
        if value is _ABSENT:
            return self.base.shared(key)
        return None if value is None else load(value)  # type: ignore[arg-type]


class TransactionContext:
    """``contracts.context.Context`` for one transaction or one hook."""

    __slots__ = (
        "_canonical", "_chain", "_contract", "_heads", "_keys", "_limit", "_overlay", "_readers", "_records",
        "_scope", "_signers", "_tx_id", "_writes", "charged", "events",
    )  # fmt: skip

    def __init__(
        self,
        scope: BlockScope,
        chain: str,
        contract: str,
        overlay: Overlay,
        readers: Mapping[str, StateReader | Overlay],
        heads: Mapping[str, Head],
        limit: int,
        transaction: Transaction | None = None,
        records: tuple[tuple[bytes, list[Any]], ...] = (),
    ) -> None:
        self._scope = scope
        self._chain = chain
        self._contract = contract
        self._overlay = overlay
        self._readers = readers
        self._heads = heads
        self._limit = limit
        self._tx_id = b"" if transaction is None else transaction.id
        self._signers = () if transaction is None else transaction.signers
        self._records = records
        self._writes: dict[bytes, Any] = {}
        self._canonical: set[bytes] = set()
        self._keys: dict[tuple[str | int | bytes, ...], bytes] = {}
        self.events: list[Any] = []
        self.charged = 0

    @property
    def network_id(self) -> bytes:
        """Genesis hash."""
        return self._scope.network_id

    @property
    def chain(self) -> str:
        """Chain of this transaction."""
        return self._chain

    @property
    def height(self) -> int:
        """Consortium height of the block."""
        return self._scope.height

    @property
    def time(self) -> int:
        """Block time, ms."""
        return self._scope.time

    @property
    def parent_hash(self) -> bytes:
        """Consortium block before this one; empty in genesis."""
        return self._scope.parent_hash

    @property
    def tx_id(self) -> bytes:
        """Transaction id; empty in a hook."""
        return self._tx_id

    @property
    def signers(self) -> tuple[bytes, ...]:
        """Verified public keys."""
        return self._signers

    @property
    def records(self) -> tuple[tuple[bytes, list[Any]], ...]:
        """The attached batch: (record id, decoded record)."""
        return self._records

    def get(self, *key: str | int | bytes) -> Any:
        """Own state: the caller's copy."""
        self.charge(CHARGE_GET)
        encoded = self._keys.get(key) or self._own_key(key)
        written = self._writes.get(encoded, _ABSENT)
        if written is not _ABSENT:
            return written
        raw = self._overlay.get(encoded)
        return None if raw is None else load(raw)

    def put(self, *key: str | int | bytes, value: Any) -> None:
        """Own state: encoded, and charged by its bytes, when the transaction ends."""
        self.charge(CHARGE_PUT)
        encoded = self._keys.get(key) or self._own_key(key)
        self._writes[encoded] = value
        self._canonical.discard(encoded)

    def put_canonical(self, *key: str | int | bytes, value: Any) -> None:
        """Own state: as ``put``, for a value that is in canonical form already."""
        self.charge(CHARGE_PUT)
        encoded = self._keys.get(key) or self._own_key(key)
        self._writes[encoded] = value
        self._canonical.add(encoded)

    def delete(self, *key: str | int | bytes) -> None:
        """Own state."""
        self.charge(CHARGE_PUT)
        self._writes[self._keys.get(key) or self._own_key(key)] = None

    def read(self, chain: str, contract: str, *key: str | int | bytes) -> Any:
        """Another contract's or chain's state, where this transaction may see it."""
        self.charge(CHARGE_GET)
        encoded = known_key(contract, *key)
        if chain == self._chain:
            written = self._writes.get(encoded, _ABSENT)
            return self._overlay.shared(encoded) if written is _ABSENT else written
        reader = self._readers.get(chain)
        if reader is None:
            raise ContractError("NOT_READABLE", f"a transaction on {self._chain} cannot read chain {chain!r}")
        return reader.shared(encoded)

    def _own_key(self, key: tuple[str | int | bytes, ...]) -> bytes:
        """Encode a key once a transaction: most are read and then written."""
        encoded = self._keys[key] = encode_key((self._contract, *key))
        return encoded

    def chains(self) -> tuple[str, ...]:
        """Member chains, sorted."""
        return self._scope.chains

    def head(self, chain: str) -> tuple[int, bytes, bytes]:
        """(height, hash, state root) of a member chain."""
        head = self._heads.get(chain)
        if head is None:
            raise ContractError("UNKNOWN_CHAIN", f"there is no chain {chain!r}")
        return head.height, head.hash, head.state_root

    def hash(self, value: Any) -> bytes:
        """SHA-256 of the canonical encoding."""
        return hash_value(value)

    def encode(self, value: Any) -> bytes:
        """Canonical encoding."""
        return encode(value)

    def decode(self, data: bytes) -> Any:
        """Canonical bytes only."""
        try:
            return decode(data)
        except CodecError as error:
            raise ContractError("NOT_CANONICAL", f"these bytes encode no value: {error}") from None

    def verify_path(self, root: bytes, leaf: bytes, index: int, count: int, path: list[bytes]) -> bool:
        """RFC 6962 audit path."""
        return merkle.verify(root, leaf, index, count, path)

    def verify_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Suite 1, strictly as a transaction's."""
        return verify(key, message, signature)

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Add an event to the receipt."""
        if len(self.events) >= MAX_EVENTS:
            raise ContractError("TOO_MANY_EVENTS", f"more than {MAX_EVENTS} events in one transaction")
        if type(name) is not str or type(data) is not dict:
            raise TypeError("an event is a name and a map")  # as Receipt.decode demands
        self.events.append([name, data])

    def charge(self, units: int) -> None:
        """Meter."""
        self.charged += units
        if self.charged > self._limit:
            raise ContractError("OVER_BUDGET", f"more than {self._limit} units of work: split the transaction")

    def sealed(self) -> dict[bytes, bytes | None]:
        """The writes, encoded, and charged by their bytes. Raises CodecError or ContractError."""
        sealed: dict[bytes, bytes | None] = {}
        size = 0
        for key, value in self._writes.items():
            if value is None:
                sealed[key] = None
            else:
                sealed[key] = encoded = pack(value) if key in self._canonical else encode(value)
                size += len(encoded)
        self.charge(size // CHARGE_BYTES)
        return sealed


class Carried(NamedTuple):
    """The records that a transaction carried: (id, kind, issuer, number, enterprise) of each, in order."""

    receipt: Receipt
    records: list[tuple[bytes, str, str, str, str]]


@dataclass(slots=True)
class ChainExecution:
    """The outcome on one chain: receipts in order (a hook receipt first on the consortium chain), and writes.

    ``carried``: of the transactions that succeeded with records, for the derived index.
    """

    receipts: list[Receipt] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    writes: dict[bytes, bytes | None] = field(default_factory=dict)


ActiveVersion = Callable[[str], int | None]
"""Contract name → version active in this block, or None."""


def run_member_chain(
    scope: BlockScope,
    chain: str,
    transactions: Sequence[Transaction],
    own: StateReader,
    consortium: StateReader,
    heads: Mapping[str, Head],
    active: ActiveVersion,
) -> tuple[ChainExecution, Overlay]:
    """Execute the block's transactions of one business chain. ``heads`` are those of h-1."""
    overlay = Overlay(own)
    readers: dict[str, StateReader | Overlay] = {CONSORTIUM: consortium}
    done = ChainExecution(writes=overlay.writes)
    for transaction in transactions:
        done.receipts.append(_run(scope, chain, transaction, overlay, readers, heads, active, done.carried))
    return done, overlay


def run_consortium(
    scope: BlockScope,
    transactions: Sequence[Transaction],
    own: StateReader,
    members: Mapping[str, StateReader | Overlay],
    heads: Mapping[str, Head],
    active: ActiveVersion,
) -> ChainExecution:
    """Run the hooks and the consortium's transactions. ``members`` and ``heads`` are those of this block."""
    overlay = Overlay(own)
    done = ChainExecution(writes=overlay.writes)
    done.receipts.append(_run_hooks(scope, overlay, members, heads, active))
    for transaction in transactions:
        done.receipts.append(_run(scope, CONSORTIUM, transaction, overlay, members, heads, active, done.carried))
    return done


def _run(
    scope: BlockScope,
    chain: str,
    transaction: Transaction,
    overlay: Overlay,
    readers: Mapping[str, StateReader | Overlay],
    heads: Mapping[str, Head],
    active: ActiveVersion,
    carried: list[Carried],
) -> Receipt:
    """One transaction: its receipt; its writes are in the overlay only if it succeeded."""
    charged = 0
    try:
        contract = contract_for(chain, transaction.contract, active)
        method = contract.methods.get(transaction.method)
        if method is None:
            known = ", ".join(sorted(contract.methods))
            raise ContractError(
                "UNKNOWN_METHOD", f"{transaction.contract} has no method {transaction.method!r}: use {known}"
            )
        records = _records(transaction)
        context = TransactionContext(
            scope, chain, transaction.contract, overlay, readers, heads, scope.charge_limit, transaction, records
        )
        try:
            context.charge(CHARGE_RECORD * len(transaction.records))
            result = method(context, transaction.args)
            writes = context.sealed()
            receipt = Receipt(transaction.id, 0, "", "", result, context.events, context.charged)
            if len(receipt.encoded) > MAX_RESULT_SIZE:
                raise ContractError("RESULT_TOO_LARGE", f"result and events exceed {MAX_RESULT_SIZE} bytes")
        finally:
            charged = min(context.charged, scope.charge_limit)
        overlay.writes.update(writes)
        if records:
            carried.append(Carried(receipt, [(name, *array[2:6]) for name, array in records]))
        return receipt
    except ContractError as error:
        return Receipt(transaction.id, 1, error.code, error.message, None, [], charged)
    except (StateError, StoreError, MemoryError):
        raise  # this node's trouble, not the transaction's: it must not become an outcome
    except Exception as error:
        # A contract's own fault is an outcome like any other: the same on every node, nothing written.
        return Receipt(transaction.id, 1, "CONTRACT_FAULT", type(error).__name__, None, [], charged)


def _records(transaction: Transaction) -> tuple[tuple[bytes, list[Any]], ...]:
    try:
        return tuple(
            (sha256(record), decode(record, max_depth=6, max_items=MAX_RECORD_VALUES))
            for record in transaction.records
        )
    except CodecError as error:
        raise ContractError("MALFORMED_RECORD", f"a record is not canonical: {error}") from None


def contract_for(chain: str, name: str, active: ActiveVersion) -> Contract:
    """The active contract of a name, where this chain runs it. Raises ContractError."""
    version = active(name)
    contract = None if version is None else CONTRACTS.get((name, version))
    kind = "consortium" if chain == CONSORTIUM else "member"
    if contract is None or contract.kind != kind:
        raise ContractError("UNKNOWN_CONTRACT", f"chain {chain} runs no contract {name!r}")
    return contract


def hook_contracts(active: ActiveVersion) -> Iterable[tuple[str, Contract]]:
    """The consortium contracts with a begin_block hook, in name order."""
    for name in sorted({name for name, _ in CONTRACTS}):
        version = active(name)
        contract = None if version is None else CONTRACTS.get((name, version))
        if contract is not None and contract.kind == "consortium" and contract.begin_block is not None:
            yield name, contract


def _run_hooks(
    scope: BlockScope,
    overlay: Overlay,
    members: Mapping[str, StateReader | Overlay],
    heads: Mapping[str, Head],
    active: ActiveVersion,
) -> Receipt:
    """All begin_block hooks: one receipt, always there, so that counts never depend on what hooks did."""
    events: list[Any] = []
    failures: list[str] = []
    charged = 0
    for name, contract in hook_contracts(active):
        context = TransactionContext(scope, CONSORTIUM, name, overlay, members, heads, scope.hook_charge_limit)
        try:
            if contract.begin_block is not None:
                contract.begin_block(context)
            sealed = context.sealed()
            encode(context.events)  # what has no canonical form fails this hook here, not the block's receipt
            overlay.writes.update(sealed)
            events.extend(context.events)
        except ContractError as error:
            failures.append(f"{name}: {error}")
        except (StateError, StoreError, MemoryError):
            raise
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}")
        charged += min(context.charged, scope.hook_charge_limit)
    code = "HOOK_FAILED" if failures else ""
    return Receipt(HOOK_TX_ID, 1 if failures else 0, code, "; ".join(failures), None, events, charged)
