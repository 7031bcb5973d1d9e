"""A ledger in memory for contract tests: the real context semantics without blocks, consensus or a store.

State is kept as canonical bytes, so a value that the codec would refuse fails here too. A failing call leaves
no trace. A member transaction sees the consortium chain as the last block left it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from chain import crypto, merkle
from chain.codec import CodecError, decode, encode, pack
from chain.crypto import hash_value, sha256
from contracts.context import Args, Context, KeyPart, Method, Value
from contracts.errors import ContractError

CONSORTIUM = "consortium"
NETWORK_ID = bytes(range(32))
START = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class ContractModule(Protocol):
    """What a contract's module offers; begin_block and genesis are looked up by name."""

    METHODS: dict[str, Method]


class Receipt(NamedTuple):
    """What one call came to."""

    ok: bool
    code: str
    message: str
    result: Value
    events: list[tuple[str, dict[str, Value]]]
    charged: int

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


class MemoryContext:
    """Context of one call: reads fall through to the ledger, writes stay here until the call succeeds."""

    def __init__(
        self,
        ledger: Ledger,
        chain: str,
        contract: str,
        *,
        signers: Iterable[bytes] = (),
        records: Sequence[bytes] = (),
        tx_id: bytes = b"",
    ) -> None:
        self.network_id = NETWORK_ID
        self.chain = chain
        self.height = ledger.height
        self.time = ledger.time
        self.parent_hash = ledger.parent_hash
        self.tx_id = tx_id
        self.signers = tuple(sorted(set(signers)))
        self.records: tuple[tuple[bytes, list[Value]], ...] = tuple(
            (sha256(data), _array(decode(data))) for data in records
        )
        self.events: list[tuple[str, dict[str, Value]]] = []
        self.charged = 0
        self.writes: dict[bytes, bytes | None] = {}
        self._ledger = ledger
        self._contract = contract

    def get(self, *key: KeyPart) -> Value:
        return self.read(self.chain, self._contract, *key)

    def put(self, *key: KeyPart, value: Value) -> None:
        assert value is not None, "None stands for absence: delete instead"
        self.writes[encode([self._contract, *key])] = encode(value)

    def put_canonical(self, *key: KeyPart, value: Value) -> None:
        assert encode(value) == pack(value), "what is put as canonical is canonical"
        self.put(*key, value=value)

    def delete(self, *key: KeyPart) -> None:
        self.writes[encode([self._contract, *key])] = None

    def read(self, chain: str, contract: str, *key: KeyPart) -> Value:
        encoded = encode([contract, *key])
        if chain == self.chain and encoded in self.writes:
            found = self.writes[encoded]
        elif chain == self.chain or self.chain == CONSORTIUM:
            found = self._ledger.state.get(chain, {}).get(encoded)
        else:
            assert chain == CONSORTIUM, f"a member transaction on {self.chain} may not read {chain}"
            found = self._ledger.sealed.get(encoded)
        return None if found is None else decode(found)

    def chains(self) -> tuple[str, ...]:
        return tuple(sorted(chain for chain in self._ledger.state if chain != CONSORTIUM))

    def head(self, chain: str) -> tuple[int, bytes, bytes]:
        return self._ledger.head(chain)

    def hash(self, value: Value) -> bytes:
        return hash_value(value)

    def encode(self, value: Value) -> bytes:
        return encode(value)

    def decode(self, data: bytes) -> Value:
        try:
            return decode(data)
        except CodecError as error:
            raise ContractError("NOT_CANONICAL", str(error)) from None

    def verify_path(self, root: bytes, leaf: bytes, index: int, count: int, path: list[bytes]) -> bool:
        return merkle.verify(root, leaf, index, count, path)

    def verify_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        return crypto.verify(key, message, signature)

    def emit(self, name: str, data: dict[str, Value]) -> None:
        encode(data)
        self.events.append((name, data))

    def charge(self, units: int) -> None:
        assert units >= 0
        self.charged += units


class Ledger:
    """Contract state of every chain, moved on block by block by `next_block`."""

    def __init__(self, modules: Mapping[str, ContractModule], document: dict[str, Any]) -> None:
        """modules: contract name → module. document: genesis document; every module's genesis is run."""
        self.modules = modules
        self.document = document
        self.height = 0
        self.parent_hash = b""
        self.time: int = document.get("time", START)
        self.state: dict[str, dict[bytes, bytes]] = {CONSORTIUM: {}}
        for member in document.get("members", []):
            self.state[member["id"]] = {}
        self.sealed: dict[bytes, bytes] = {}
        self._chain_heights = dict.fromkeys(self.state, 0)
        self._written: set[str] = set()
        self._calls = 0
        for name, module in modules.items():
            start = getattr(module, "genesis", None)
            if start is not None and name != "records":
                context = MemoryContext(self, CONSORTIUM, name)
                start(context, document)
                self._commit(context)
        self.sealed = dict(self.state[CONSORTIUM])

    def next_block(self, *, time: int | None = None, after_ms: int = 1_000) -> list[tuple[str, dict[str, Value]]]:
        """Start the next consortium block and run every begin_block; gives their events."""
        self.height += 1
        self.parent_hash = hash_value(["test/block", 1, self.height - 1])
        self.time = self.time + after_ms if time is None else time
        self.sealed = dict(self.state[CONSORTIUM])
        self._written = set()
        self._chain_heights[CONSORTIUM] = self.height - 1
        events: list[tuple[str, dict[str, Value]]] = []
        for name, module in self.modules.items():
            hook: Callable[[Context], None] | None = getattr(module, "begin_block", None)
            if hook is not None:
                context = MemoryContext(self, CONSORTIUM, name)
                hook(context)
                self._commit(context)
                events.extend(context.events)
        return events

    def call(
        self,
        chain: str,
        method: str,
        args: Args,
        signers: Iterable[bytes],
        records: Sequence[bytes] = (),
    ) -> Receipt:
        """Run one transaction ("contract.method") in the current block."""
        contract, name = method.split(".")
        self._calls += 1
        context = MemoryContext(
            self, chain, contract, signers=signers, records=records, tx_id=hash_value(["test/tx", 1, self._calls])
        )
        try:
            result = self.modules[contract].METHODS[name](context, decode_args(args))
        except ContractError as error:
            return Receipt(False, error.code, error.message, None, [], context.charged)
        encode(result)
        self._commit(context)
        return Receipt(True, "", "", result, context.events, context.charged)

    def read(self, chain: str, contract: str, *key: KeyPart) -> Value:
        """State as it stands now."""
        found = self.state[chain].get(encode([contract, *key]))
        return None if found is None else decode(found)

    def seed(self, chain: str, contract: str, *key: KeyPart, value: Value) -> None:
        """Put state in place that another contract would have written, as of the last block."""
        self.state[chain][encode([contract, *key])] = encode(value)
        if chain == CONSORTIUM:
            self.sealed[encode([contract, *key])] = encode(value)

    def items(self, chain: str, contract: str) -> dict[tuple[Any, ...], Value]:
        """Everything a contract holds on a chain, for comparing whole states."""
        return {
            tuple(key[1:]): decode(value)
            for key, value in ((_array(decode(raw)), value) for raw, value in self.state[chain].items())
            if key[0] == contract
        }

    def head(self, chain: str) -> tuple[int, bytes, bytes]:
        """Stand-in for a chain's head: changes whenever the chain has written."""
        height = self._chain_heights[chain]
        state_root = hash_value([[key, value] for key, value in sorted(self.state[chain].items())])
        return height, hash_value(["test/head", 1, chain, height, state_root]), state_root

    def _commit(self, context: MemoryContext) -> None:
        state = self.state[context.chain]
        for key, value in context.writes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        if context.chain != CONSORTIUM and context.chain not in self._written:
            self._written.add(context.chain)
            self._chain_heights[context.chain] += 1


def decode_args(args: Args) -> Args:
    """Arguments as a contract gets them: through the codec, so that tuples have become lists."""
    decoded = decode(encode(args))
    assert isinstance(decoded, dict)
    return decoded


def key(name: str) -> bytes:
    """A 32-byte public key that stands for a name; contracts never verify signatures themselves."""
    return sha256(name.encode())


def _array(value: Value) -> list[Value]:
    assert isinstance(value, list)
    return value
