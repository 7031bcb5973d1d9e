"""What a contract is given: its only door to state, block time, signers, hashing and events.

A contract is a pure integer function of what comes through here. Nothing else may reach it: no clock,
no chance, no file, no float.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

# None | bool | int (-2**63 .. 2**63-1) | str | bytes | list[Value] | dict[str, Value]. The codec enforces this
# at run time. It is spelled Any because each contract knows the shape of what it wrote, and an invariant
# recursive alias would only add casts to every read.
Value: TypeAlias = Any

KeyPart: TypeAlias = str | int | bytes
Args: TypeAlias = dict[str, Value]


class Reads(Protocol):
    """What it takes to read the consortium's rules; off the chain a view of one height does as well."""

    @property
    def height(self) -> int:
        """Consortium height at which keys must be valid."""

    def read(self, chain: str, contract: str, *key: KeyPart) -> Value:
        """State of a contract, or None."""


class Context(Protocol):
    """One transaction's (or one begin_block's) view of the ledger.

    Values that come out of `get` and `read` are shared with the ledger and must not be modified; a value
    handed to `put` belongs to the ledger from then on. So nothing is copied on the hot path: to change a
    stored dict, build a new one and put that.
    """

    @property
    def network_id(self) -> bytes:
        """Hash of the genesis document, 32 bytes."""

    @property
    def chain(self) -> str:
        """Chain this transaction runs on: a member id, or "consortium"."""

    @property
    def height(self) -> int:
        """Consortium height of the block being executed; 0 while genesis is written."""

    @property
    def time(self) -> int:
        """Block time in ms since 1970-01-01 UTC."""

    @property
    def parent_hash(self) -> bytes:
        """Hash of the consortium block before this one, 32 bytes; b"" while genesis is written."""

    @property
    def tx_id(self) -> bytes:
        """Transaction id, 32 bytes; b"" in begin_block and genesis."""

    @property
    def signers(self) -> tuple[bytes, ...]:
        """Public keys whose signatures have been verified, strictly ascending, each once."""

    @property
    def records(self) -> tuple[tuple[bytes, list[Value]], ...]:
        """(record id, decoded record array) of each attached record; count and root already checked."""

    def get(self, *key: KeyPart) -> Value:
        """Value under this key of the contract's own namespace on this chain, or None."""

    def put(self, *key: KeyPart, value: Value) -> None:
        """Write under a key of the contract's own namespace on this chain."""

    def put_canonical(self, *key: KeyPart, value: Value) -> None:
        """As `put`, for a value that is canonical as it stands: every dict in it sorted by its keys, and nothing in
        it but what came out of `records`, `get` or `read`, text, bytes, booleans and 64-bit integers.

        It is not looked at again: for the few entries that every record pays for.
        """

    def delete(self, *key: KeyPart) -> None:
        """Remove a key of the contract's own namespace; absent keys are fine."""

    def read(self, chain: str, contract: str, *key: KeyPart) -> Value:
        """State of another contract or chain, or None.

        A member transaction sees its own chain, and "consortium" as of height - 1; a consortium transaction
        sees every chain, with the member blocks of this height already applied.
        """

    def chains(self) -> tuple[str, ...]:
        """Ids of all member chains, sorted."""

    def head(self, chain: str) -> tuple[int, bytes, bytes]:
        """(height, block hash, state root) of a chain as this transaction sees it."""

    def hash(self, value: Value) -> bytes:
        """sha256 of the canonical encoding, 32 bytes."""

    def encode(self, value: Value) -> bytes:
        """Canonical encoding of a value."""

    def decode(self, data: bytes) -> Value:
        """The value of a canonical encoding that came as bytes. Raises ContractError NOT_CANONICAL."""

    def verify_path(self, root: bytes, leaf: bytes, index: int, count: int, path: list[bytes]) -> bool:
        """Whether a leaf is number index of count leaves under an RFC 6962 root; the caller charges for it."""

    def verify_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether an Ed25519 signature stands under ZIP215, as transactions' do; the caller charges for it."""

    def emit(self, name: str, data: dict[str, Value]) -> None:
        """Add an event to this transaction's receipt."""

    def charge(self, units: int) -> None:
        """Meter work beyond state operations; raises when the transaction's budget is used up."""


Method: TypeAlias = Callable[[Context, Args], Value]
BeginBlock: TypeAlias = Callable[[Context], None]
Genesis: TypeAlias = Callable[[Context, dict[str, Value]], None]
