"""From an Ethereum node's JSON back to the bytes that were hashed: headers, transactions, their trie.

Providers prune, and answers about old blocks may stop. So at finality the anchoring writer rebuilds the
block's header and transaction trie from one ``eth_getBlockByHash`` answer and keeps a proof of its own. Every
rebuilt byte string is checked against the hash the node names; a field this file does not know shows as a
mismatch, never as a wrong proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from chain import rlp
from chain.crypto import HASH_SIZE
from chain.evm import EvmProof, keccak256, nibbles
from chain.rlp import Item

EMPTY_TRIE: Final = keccak256(rlp.encode(b""))
"""The root of a trie that holds nothing."""


class EvmDataError(ValueError):
    """A node's answer that cannot be turned into the bytes it stands for; one line."""


def data(value: Any) -> bytes:
    """The bytes of a JSON-RPC DATA value (``0x`` and whole bytes). Raises EvmDataError."""
    try:
        if isinstance(value, str) and value[:2] == "0x":
            return bytes.fromhex(value[2:])
    except ValueError:
        pass
    raise EvmDataError(f"the public node sent {_short(value)} where hex data belongs")


def quantity(value: Any) -> int:
    """The integer of a JSON-RPC QUANTITY value, at most 256 bits. Raises EvmDataError."""
    try:
        if isinstance(value, str) and value[:2] == "0x" and len(value) <= 66:
            return int(value[2:], 16)
    except ValueError:
        pass
    raise EvmDataError(f"the public node sent {_short(value)} where a hex number belongs")


def count(value: Any) -> int:
    """A QUANTITY that counts something: a block number, position, nonce or chain id. Raises EvmDataError."""
    number = quantity(value)
    if not 0 <= number < 2**53:
        raise EvmDataError(f"the public node sent {_short(value)} where a number below 2**53 belongs")
    return number


def digest(value: Any) -> bytes:
    """The 32 bytes of a hash. Raises EvmDataError."""
    raw = data(value)
    if len(raw) != HASH_SIZE:
        raise EvmDataError(f"the public node sent {_short(value)} where a hash belongs")
    return raw


def entry(value: Any, name: str) -> Any:
    """One field of a JSON object. Raises EvmDataError where there is none."""
    if not isinstance(value, Mapping) or name not in value:
        raise EvmDataError(f"the public node's answer has no field {name!r}")
    return value[name]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


def _number(value: Any) -> bytes:
    return rlp.from_int(quantity(value))


_HEADER: Final = (
    ("parentHash", data),
    ("sha3Uncles", data),
    ("miner", data),
    ("stateRoot", data),
    ("transactionsRoot", data),
    ("receiptsRoot", data),
    ("logsBloom", data),
    ("difficulty", _number),
    ("number", _number),
    ("gasLimit", _number),
    ("gasUsed", _number),
    ("timestamp", _number),
    ("extraData", data),
    ("mixHash", data),
    ("nonce", data),
)
_HEADER_SINCE_LONDON: Final = (
    ("baseFeePerGas", _number),
    ("withdrawalsRoot", data),
    ("blobGasUsed", _number),
    ("excessBlobGas", _number),
    ("parentBeaconBlockRoot", data),
    ("requestsHash", data),
)


def encode_header(block: Mapping[str, Any]) -> bytes:
    """The RLP header of a block answer, any fork up to Prague.

    Raises EvmDataError where it does not hash to the block's own ``hash`` (a later fork: then ask the node
    for ``debug_getRawHeader``).
    """
    fields: list[Item] = [read(entry(block, name)) for name, read in _HEADER]
    fields += [read(block[name]) for name, read in _HEADER_SINCE_LONDON if block.get(name) is not None]
    raw = rlp.encode(fields)
    if keccak256(raw) != data(entry(block, "hash")):
        raise EvmDataError("the public block's header has fields this version does not know")
    return raw


TRANSACTION_FIELDS: Final[Mapping[int, tuple[str, ...]]] = {
    0: ("nonce", "gasPrice", "gas", "to", "value", "input"),
    1: ("chainId", "nonce", "gasPrice", "gas", "to", "value", "input", "accessList"),
    2: (
        *("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas"),
        *("to", "value", "input", "accessList"),
    ),
    3: (
        *("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas"),
        *("to", "value", "input", "accessList", "maxFeePerBlobGas", "blobVersionedHashes"),
    ),
    4: (
        *("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas"),
        *("to", "value", "input", "accessList", "authorizationList"),
    ),
}
"""Type → its RLP fields in order, by their JSON names; parity (or v), r and s follow."""


def encode_transaction(transaction: Mapping[str, Any]) -> bytes:
    """A transaction in its block form, types 0 to 4.

    Raises EvmDataError for another type, or where it does not hash to its own ``hash``.
    """
    kind = quantity(transaction.get("type", "0x0"))
    names = TRANSACTION_FIELDS.get(kind)
    if names is None:
        raise EvmDataError(f"transaction type {kind} is not known to this version")
    fields = [_field(name, entry(transaction, name)) for name in names]
    # The parity of a typed transaction is ``yParity``; older nodes send it as ``v`` only.
    v = entry(transaction, "v") if kind == 0 else transaction.get("yParity", transaction.get("v"))
    fields += [_number(v), _number(entry(transaction, "r")), _number(entry(transaction, "s"))]
    raw = (bytes([kind]) if kind else b"") + rlp.encode(fields)
    if keccak256(raw) != data(entry(transaction, "hash")):
        raise EvmDataError(f"transaction {transaction['hash']} does not hash to its own hash")
    return raw


def _field(name: str, value: Any) -> Item:
    if name == "to":
        return data(value) if value is not None else b""
    if name == "input":
        return data(value)
    if name == "accessList":
        return [
            [data(entry(item, "address")), [data(key) for key in entry(item, "storageKeys")]] for item in value or []
        ]
    if name == "blobVersionedHashes":
        return [data(item) for item in value]
    if name == "authorizationList":
        return [_authorization(item) for item in value]
    return _number(value)


def _authorization(item: Any) -> Item:
    """One EIP-7702 authorization: chain id, address, nonce, parity, r, s."""
    parity = entry(item, "yParity" if "yParity" in item else "v")
    return [
        _number(entry(item, "chainId")),
        data(entry(item, "address")),
        _number(entry(item, "nonce")),
        _number(parity),
        _number(entry(item, "r")),
        _number(entry(item, "s")),
    ]


class Trie:
    """A Merkle-Patricia trie built once from all its pairs (Yellow Paper, appendix D), for root and proofs."""

    def __init__(self, pairs: Mapping[bytes, bytes]) -> None:
        """pairs: key → non-empty value."""
        self._nodes: dict[bytes, bytes] = {}
        items = sorted((nibbles(key), value) for key, value in pairs.items())
        top = rlp.encode(self._node(items))
        self.root = keccak256(top)
        self._nodes[self.root] = top

    @classmethod
    def of_list(cls, values: Sequence[bytes]) -> Trie:
        """The trie of a block's transactions or receipts: position (RLP) → value."""
        return cls({rlp.encode(rlp.from_int(index)): value for index, value in enumerate(values)})

    def prove(self, key: bytes) -> list[bytes]:
        """The hashed nodes from the root to ``key``, as ``chain.evm.read_trie`` wants them."""
        path = nibbles(key)
        proof: list[bytes] = []
        reference: Item = self.root
        while reference:
            if isinstance(reference, bytes):
                proof.append(self._nodes[reference])
                node = rlp.to_list(rlp.decode(proof[-1]))
            else:
                node = reference
            if len(node) == 17 and path:
                reference, path = node[path[0]], path[1:]
                continue
            if len(node) == 17:
                break
            halves = nibbles(rlp.to_bytes(node[0]))
            part = halves[1:] if halves[0] & 1 else halves[2:]
            if halves[0] >= 2 or path[: len(part)] != part:
                break
            reference, path = node[1], path[len(part) :]
        return proof

    def _node(self, items: list[tuple[tuple[int, ...], bytes]]) -> Item:
        """The node that holds these (remaining path, value) pairs, sorted by path."""
        if not items:
            return b""
        first, last = items[0][0], items[-1][0]
        if len(items) == 1:
            return [_pack_path(first, leaf=True), items[0][1]]
        shared = 0
        while shared < len(first) and first[shared] == last[shared]:
            shared += 1
        if shared:
            below = self._node([(path[shared:], value) for path, value in items])
            return [_pack_path(first[:shared], leaf=False), self._reference(below)]
        branch: list[Item] = []
        for half in range(16):
            below = self._node([(path[1:], value) for path, value in items if path[:1] == (half,)])
            branch.append(self._reference(below))
        branch.append(items[0][1] if not first else b"")
        return branch

    def _reference(self, node: Item) -> Item:
        """A node of 32 bytes or more is named by its hash, a shorter one stands inline."""
        raw = rlp.encode(node)
        if not node or len(raw) < 32:
            return node
        digest = keccak256(raw)
        self._nodes[digest] = raw
        return digest


def _pack_path(path: Sequence[int], *, leaf: bool) -> bytes:
    """Hex-prefix encoding (Yellow Paper, appendix C)."""
    flag = 2 if leaf else 0
    halves = (flag + 1, *path) if len(path) % 2 else (flag, 0, *path)
    return bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))


def build_proof(
    chain_id: int,
    block: Mapping[str, Any],
    index: int,
    *,
    raw_header: bytes | None = None,
    raw_transactions: Mapping[int, bytes] | None = None,
) -> EvmProof:
    """The proof of transaction ``index`` of a full block answer, rebuilt and checked against the block's hash.

    raw_header, raw_transactions (by index): from the node's ``debug_`` methods, for a fork or a transaction
    type younger than this file. Raises EvmDataError.
    """
    raw_transactions = raw_transactions or {}
    try:
        header = raw_header if raw_header is not None else encode_header(block)
        if keccak256(header) != data(entry(block, "hash")):
            raise EvmDataError("the public node's raw header is not that of the block")
        transactions = [
            raw_transactions[position] if position in raw_transactions else encode_transaction(transaction)
            for position, transaction in enumerate(entry(block, "transactions"))
        ]
    except (TypeError, AttributeError) as error:
        raise EvmDataError(f"the public block has a field of the wrong type: {error}") from None
    if not 0 <= index < len(transactions):
        raise EvmDataError(f"the public block has {len(transactions)} transactions, none at {index}")
    trie = Trie.of_list(transactions)
    if trie.root != data(entry(block, "transactionsRoot")):
        raise EvmDataError("the public block's transactions do not give its transactions root")
    return EvmProof(chain_id, header, index, tuple(trie.prove(rlp.encode(rlp.from_int(index)))))
