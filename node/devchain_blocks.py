"""The blocks of the development chain: a pool, real headers and tries, and nothing behind them.

No state, no balance, no consensus: every header says ``DEV-ANCHOR: proves nothing`` in its extra data. Headers,
tries and receipts are the real thing, so the anchoring writer and the offline verifier run the very code they
run against Ethereum. Same transactions, same clock: same block hashes. ``node.devchain`` puts it on a port.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import rlp
from chain.evm import DEVELOPMENT_NOTE, PublicTransaction, VerificationError, decode_transaction, keccak256
from chain.rlp import Item, RlpError
from node.evm_block import EMPTY_TRIE, TRANSACTION_FIELDS, Trie

CHAIN_ID: Final = 31338
BASE_FEE: Final = 1_000_000_000
"""Wei per gas; constant, for there is no market. What offers less waits in the pool."""
GAS_LIMIT: Final = 30_000_000
MAX_BLOCK_TRANSACTIONS: Final = 200
KEEP_MINING_DEPTH: Final = 64
"""Empty blocks are made on top of the last transaction until it is this deep; then the chain rests."""
MAX_POOL: Final = 10_000

PARSE_ERROR: Final = -32700
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
REFUSED: Final = -32000

_EMPTY_UNCLES: Final = keccak256(rlp.encode([]))


class RefusedError(Exception):
    """A request the chain does not accept: JSON-RPC error code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Block:
    """One block. header: RLP; time: seconds; transactions: block form, with what was recovered from them."""

    number: int
    hash: bytes
    header: bytes
    time: int
    transactions: tuple[tuple[bytes, PublicTransaction], ...]
    fields: Mapping[str, Any]
    """The header as JSON-RPC shows it."""


class DevChain:
    """The chain without its server. Not thread-safe: the server holds one lock around every call.

    clock: seconds since 1970; the only input besides transactions.
    """

    def __init__(self, clock: Callable[[], int] = lambda: int(time.time())) -> None:
        self._clock = clock
        self._rewinds = 0
        self._pool: dict[tuple[bytes, int], tuple[bytes, PublicTransaction]] = {}
        self._mined_in: dict[bytes, tuple[int, int]] = {}
        self._sent: dict[bytes, list[int]] = {}
        self._blocks: list[Block] = []
        self._by_hash: dict[bytes, int] = {}
        self._append([])

    @property
    def head(self) -> Block:
        """The newest block."""
        return self._blocks[-1]

    def block(self, number: int) -> Block | None:
        """The block with this number, or None."""
        return self._blocks[number] if 0 <= number < len(self._blocks) else None

    def number_of(self, block_hash: bytes) -> int | None:
        """The number of the block with this hash, or None."""
        return self._by_hash.get(block_hash)

    def place(self, transaction_hash: bytes) -> tuple[Block, int] | None:
        """(block, index) of a mined transaction, or None."""
        found = self._mined_in.get(transaction_hash)
        return None if found is None else (self._blocks[found[0]], found[1])

    def is_pending(self, sender: bytes, nonce: int) -> bool:
        """Whether the pool holds a transaction for this nonce."""
        return (sender, nonce) in self._pool

    def submit(self, raw: bytes) -> bytes:
        """Take a signed transaction (types 0 to 2) into the pool; its hash. Raises RefusedError."""
        if raw[:1] in (b"\x03", b"\x04"):
            raise RefusedError(REFUSED, "blob and set-code transactions are not taken here")
        try:
            transaction = decode_transaction(raw)
            show_fields(raw)
        except (RlpError, VerificationError) as error:
            raise RefusedError(INVALID_PARAMS, f"not a transaction: {error}") from None
        if transaction.chain_id != CHAIN_ID:
            raise RefusedError(REFUSED, f"chain id is {CHAIN_ID}, the transaction says {transaction.chain_id}")
        if transaction.nonce < self.count(transaction.sender, self.head.number):
            raise RefusedError(REFUSED, f"nonce {transaction.nonce} is used")
        if len(self._pool) >= MAX_POOL:
            raise RefusedError(REFUSED, "the pool is full")
        slot = (transaction.sender, transaction.nonce)
        held = self._pool.get(slot)
        # Geth's rule: a replacement pays at least a tenth more in both fees.
        if held is not None and any(new * 10 < old * 11 for new, old in zip(fees(raw), fees(held[0]), strict=True)):
            raise RefusedError(REFUSED, "the replacement does not pay a tenth more in both fees")
        self._pool[slot] = (raw, transaction)
        return transaction.hash

    def mine(self) -> Block:
        """Make one block of what the pool has ready, in order of arrival and nonce."""
        chosen: list[tuple[bytes, PublicTransaction]] = []
        following: dict[bytes, int] = {}
        progress = True
        while progress and len(chosen) < MAX_BLOCK_TRANSACTIONS:
            progress = False
            for (sender, nonce), (raw, transaction) in list(self._pool.items()):
                due = following.get(sender, self.count(sender, self.head.number))
                if nonce == due and fees(raw)[0] >= BASE_FEE and len(chosen) < MAX_BLOCK_TRANSACTIONS:
                    chosen.append((raw, transaction))
                    following[sender] = nonce + 1
                    del self._pool[(sender, nonce)]
                    progress = True
        return self._append(chosen)

    def wants_block(self) -> bool:
        """Whether anything waits in the pool or for depth."""
        last = max((numbers[-1] for numbers in self._sent.values() if numbers), default=-KEEP_MINING_DEPTH)
        return bool(self._pool) or self.head.number - last < KEEP_MINING_DEPTH

    def rewind(self, depth: int) -> None:
        """Drop the newest ``depth`` blocks: a drill for a reorganisation. Their transactions go back to the
        pool, and the blocks that follow have other hashes. Raises RefusedError."""
        if not 0 < depth < len(self._blocks):
            raise RefusedError(INVALID_PARAMS, f"there are {len(self._blocks) - 1} blocks above the first")
        dropped = self._blocks[-depth:]
        del self._blocks[-depth:]
        self._rewinds += 1
        for block in dropped:
            del self._by_hash[block.hash]
            for raw, transaction in block.transactions:
                del self._mined_in[transaction.hash]
                self._sent[transaction.sender].remove(block.number)
                self._pool[(transaction.sender, transaction.nonce)] = (raw, transaction)

    def _append(self, chosen: Sequence[tuple[bytes, PublicTransaction]]) -> Block:
        number = len(self._blocks)
        parent = self._blocks[-1].hash if self._blocks else bytes(32)
        timestamp = max(self._clock(), self._blocks[-1].time + 1 if self._blocks else 0)
        raws = [raw for raw, _ in chosen]
        gas = [gas_used(transaction.payload) for _, transaction in chosen]
        receipts = [
            (raw[:1] if raw[0] < 0xC0 else b"")
            + rlp.encode([b"\x01", rlp.from_int(sum(gas[: index + 1])), bytes(256), []])
            for index, raw in enumerate(raws)
        ]
        fields: dict[str, Any] = {
            "parentHash": parent,
            "sha3Uncles": _EMPTY_UNCLES,
            "miner": bytes(20),
            "stateRoot": EMPTY_TRIE,
            "transactionsRoot": Trie.of_list(raws).root,
            "receiptsRoot": Trie.of_list(receipts).root,
            "logsBloom": bytes(256),
            "difficulty": 0,
            "number": number,
            "gasLimit": GAS_LIMIT,
            "gasUsed": sum(gas),
            "timestamp": timestamp,
            "extraData": DEVELOPMENT_NOTE.encode(),
            "mixHash": self._rewinds.to_bytes(32, "big"),
            "nonce": bytes(8),
            "baseFeePerGas": BASE_FEE,
            "withdrawalsRoot": EMPTY_TRIE,
        }
        header = rlp.encode([rlp.from_int(v) if isinstance(v, int) else v for v in fields.values()])
        shown = {name: show(value) for name, value in fields.items()}
        block = Block(number, keccak256(header), header, timestamp, tuple(chosen), shown)
        self._blocks.append(block)
        self._by_hash[block.hash] = number
        for index, (_, transaction) in enumerate(chosen):
            self._mined_in[transaction.hash] = (number, index)
            self._sent.setdefault(transaction.sender, []).append(number)
        return block

    def count(self, sender: bytes, number: int) -> int:
        """Transactions of a sender in the blocks up to ``number``."""
        return bisect.bisect_right(self._sent.get(sender, []), number)


def fees(raw: bytes) -> tuple[int, int]:
    """(fee cap, tip cap) in wei per gas; a gas price is both."""
    kind, fields = _fields(raw)
    names = TRANSACTION_FIELDS[kind]
    cap = rlp.to_int(fields[names.index("maxFeePerGas" if kind >= 2 else "gasPrice")])
    return cap, rlp.to_int(fields[names.index("maxPriorityFeePerGas")]) if kind >= 2 else cap


def gas_used(payload: bytes) -> int:
    """What a plain transfer with this calldata costs: EIP-2028 or the floor of EIP-7623, whichever is more."""
    zeros = payload.count(0)
    tokens = zeros + 4 * (len(payload) - zeros)
    return 21_000 + max(4 * tokens, 10 * tokens)


def show(value: int | bytes) -> str:
    """A JSON-RPC QUANTITY or DATA."""
    return hex(value) if isinstance(value, int) else f"0x{value.hex()}"


def show_fields(raw: bytes) -> dict[str, Any]:
    """A transaction's own fields as JSON-RPC shows them. Raises RlpError for a malformed one."""
    kind, fields = _fields(raw)
    shown: dict[str, Any] = {}
    for name, field in zip(TRANSACTION_FIELDS[kind], fields, strict=False):
        if name == "accessList":
            shown[name] = [_show_access(item) for item in rlp.to_list(field)]
        elif name in ("to", "input"):
            value = rlp.to_bytes(field)
            shown[name] = show(value) if value or name == "input" else None
        else:
            shown[name] = show(rlp.to_int(field))
    v, r, s = (show(rlp.to_int(field)) for field in fields[-3:])
    return shown | {"type": hex(kind), "v": v, "r": r, "s": s} | ({"yParity": v} if kind else {})


def _show_access(item: Item) -> dict[str, Any]:
    """One entry of an EIP-2930 access list."""
    parts = rlp.to_list(item)
    if len(parts) != 2:
        raise RlpError("an access list entry has two items")
    keys = [show(rlp.to_bytes(key)) for key in rlp.to_list(parts[1])]
    return {"address": show(rlp.to_bytes(parts[0])), "storageKeys": keys}


def _fields(raw: bytes) -> tuple[int, list[Item]]:
    kind = raw[0] if raw[0] < 0xC0 else 0
    return kind, rlp.to_list(rlp.decode(raw[1:] if kind else raw))
