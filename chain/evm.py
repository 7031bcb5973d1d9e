"""Offline check that a payload stands in a block of an Ethereum-like chain.

From the outside in: a block hash the *caller* trusts → header → transactions root → one transaction by a
Merkle-Patricia proof → its payload, chain id and recovered sender. No node, no network, no web3.

The weak point is the trusted hash: a header after the Merge does not prove itself. The verifier's user takes
it from an independent node; without it the answer is ``UNANCHORED``, never a pass. Likewise the senders come
from a list pinned outside the proof. A chain id in ``DEVELOPMENT_CHAINS`` is somebody's own machine: what is
found there is marked, because it proves nothing to a third person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from chain import rlp
from chain.codec import CodecError, decode, encode, is_tagged
from chain.crypto import HASH_SIZE
from chain.rlp import Item, RlpError

PROOF_TAG: Final = "tally/evm_proof"
PROOF_VERSION: Final = 1
MAX_PROOF_SIZE: Final = 1024 * 1024
"""Bytes. A proof holds one transaction (calldata is at most 128 KiB in public pools) and a few trie nodes."""
MAX_NODES: Final = 64
ADDRESS_SIZE: Final = 20

DEVELOPMENT_CHAINS: Final = frozenset({1337, 31337, 31338})
"""Chain ids of Ganache, of anvil and Hardhat, and of ``node.devchain``."""
DEVELOPMENT_NOTE: Final = "DEV-ANCHOR: proves nothing"

_CURVE_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_LEGACY_FIELDS: Final = 9
_TYPED: Final = {1: (11, 4), 2: (12, 5), 3: (14, 5), 4: (13, 5)}
"""Type → (number of fields, where ``to`` stands; value and data follow it): EIP-2930, 1559, 4844, 7702."""
_HEADER_FIELDS: Final = range(15, 33)
"""15 since the beginning, 21 since Prague; later forks append."""
_TRANSACTIONS_ROOT, _NUMBER, _TIMESTAMP = 4, 8, 11


class VerificationError(ValueError):
    """The proof does not show what it should; the message says which step failed, in one line."""


class UnanchoredError(VerificationError):
    """No trusted block hash was given: nothing was shown, nothing was refuted."""


@dataclass(frozen=True)
class EvmProof:
    """One transaction in one public block.

    chain_id: EIP-155; header: RLP bytes; index: position in the block; nodes: trie nodes from the root down.
    """

    chain_id: int
    header: bytes
    index: int
    nodes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Canonical bytes: ``["tally/evm_proof", 1, chain id, header, index, [node…]]``."""
        return encode([PROOF_TAG, PROOF_VERSION, self.chain_id, self.header, self.index, list(self.nodes)])

    @classmethod
    def decode(cls, data: bytes) -> EvmProof:
        """The proof of canonical bytes. Raises VerificationError."""
        try:
            value = decode(data, max_size=MAX_PROOF_SIZE, max_depth=2)
        except CodecError as error:
            raise VerificationError(f"not an anchor proof: {error}") from None
        if not is_tagged(value, PROOF_TAG, PROOF_VERSION, 6):
            raise VerificationError(f"not an anchor proof: {PROOF_TAG} version {PROOF_VERSION} expected")
        _, _, chain_id, header, index, nodes = value
        if not (
            type(chain_id) is int
            and type(header) is bytes
            and type(index) is int
            and type(nodes) is list
            and all(type(node) is bytes for node in nodes)
        ):
            raise VerificationError("not an anchor proof: a field has the wrong type")
        if chain_id <= 0 or not 0 <= index < 2**32 or len(nodes) > MAX_NODES:
            raise VerificationError("not an anchor proof: a field is out of range")
        return cls(chain_id, header, index, tuple(nodes))


class PublicHeader(NamedTuple):
    """What the check needs of a public block header. time: seconds since 1970, as its proposer set it."""

    hash: bytes
    transactions_root: bytes
    number: int
    time: int


class PublicTransaction(NamedTuple):
    """What the check needs of a public transaction. chain_id is None before EIP-155; sender: 20 bytes."""

    hash: bytes
    chain_id: int | None
    nonce: int
    sender: bytes
    payload: bytes


@dataclass(frozen=True)
class EvmAnchor:
    """The result: the payload existed no later than ``time`` (seconds), in this block, sent by this sender."""

    chain_id: int
    block_number: int
    block_hash: bytes
    time: int
    transaction_hash: bytes
    sender: bytes

    @property
    def note(self) -> str:
        """``DEV-ANCHOR: proves nothing`` on a development chain, else empty. Shown wherever the result is."""
        return DEVELOPMENT_NOTE if self.chain_id in DEVELOPMENT_CHAINS else ""


def verify(
    proof: EvmProof,
    payload: bytes,
    *,
    trusted_block_hash: bytes | None,
    senders: Collection[bytes],
) -> EvmAnchor:
    """Check that ``payload`` is the whole calldata of a transaction in the trusted block.

    trusted_block_hash: 32 bytes from a node the caller trusts, or None; senders: the 20-byte addresses the
    caller accepts, never taken from the proof. Raises UnanchoredError without a trusted hash, and
    VerificationError naming the failed step otherwise.
    """
    header = decode_header(proof.header)
    if trusted_block_hash is None:
        raise UnanchoredError(
            f"UNANCHORED: give the hash of block {header.number} of chain {proof.chain_id} from a node you trust"
        )
    if header.hash != trusted_block_hash:
        raise VerificationError("the public block's hash is not the trusted one")
    try:
        raw = read_trie(header.transactions_root, rlp.encode(rlp.from_int(proof.index)), proof.nodes)
        transaction = decode_transaction(raw)
    except RlpError as error:
        raise VerificationError(f"the public block's proof is malformed: {error}") from None
    if transaction.chain_id != proof.chain_id:
        raise VerificationError(f"the transaction is for chain {transaction.chain_id}, not {proof.chain_id}")
    if transaction.payload != payload:
        raise VerificationError("the transaction carries another payload than the checkpoint's")
    if transaction.sender not in senders:
        raise VerificationError(f"sender 0x{transaction.sender.hex()} is not among the trusted senders")
    return EvmAnchor(proof.chain_id, header.number, header.hash, header.time, transaction.hash, transaction.sender)


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not SHA3-256); 32 bytes."""
    try:
        from Crypto.Hash import keccak  # lazily: only anchors need it
    except ImportError:
        raise VerificationError("public-chain proofs need pycryptodome: pip install pycryptodome") from None
    return keccak.new(digest_bits=256, data=data).digest()


def address(public_key: bytes) -> bytes:
    """The 20-byte account of an uncompressed secp256k1 public key (65 bytes, SEC 1)."""
    return keccak256(public_key[1:])[-ADDRESS_SIZE:]


def decode_header(raw: bytes) -> PublicHeader:
    """The header of RLP bytes; forks that append fields are read alike. Raises VerificationError."""
    try:
        fields = rlp.to_list(rlp.decode(raw))
        if len(fields) not in _HEADER_FIELDS:
            raise RlpError(f"a header has 15 to 32 fields, this has {len(fields)}")
        root = rlp.to_bytes(fields[_TRANSACTIONS_ROOT])
        if len(root) != HASH_SIZE:
            raise RlpError("the transactions root has not 32 bytes")
        return PublicHeader(keccak256(raw), root, rlp.to_int(fields[_NUMBER]), rlp.to_int(fields[_TIMESTAMP]))
    except RlpError as error:
        raise VerificationError(f"not a public block header: {error}") from None


def decode_transaction(raw: bytes) -> PublicTransaction:
    """A transaction in its block form, types 0 to 4, with its sender recovered.

    Raises RlpError for a malformed one, VerificationError for an unknown type or an impossible signature.
    """
    if raw[:1] >= b"\xc0":
        return _legacy(raw)
    layout = _TYPED.get(raw[0] if raw else 0)
    if layout is None:
        raise VerificationError(f"transaction type 0x{raw[:1].hex() or '00'} is not known")
    count, to = layout
    fields = rlp.to_list(rlp.decode(raw[1:]))
    if len(fields) != count:
        raise RlpError(f"a transaction of type {raw[0]} has {count} fields, this has {len(fields)}")
    signing_hash = keccak256(raw[:1] + rlp.encode(fields[:-3]))
    parity, r, s = map(rlp.to_int, fields[-3:])
    return PublicTransaction(
        keccak256(raw),
        rlp.to_int(fields[0]),
        rlp.to_int(fields[1]),
        recover_sender(signing_hash, parity, r, s),
        rlp.to_bytes(fields[to + 2]),
    )


def _legacy(raw: bytes) -> PublicTransaction:
    """A type-0 transaction: nonce, gas price, gas, to, value, data, v, r, s (v per EIP-155 or 27/28)."""
    fields = rlp.to_list(rlp.decode(raw))
    if len(fields) != _LEGACY_FIELDS:
        raise RlpError(f"a legacy transaction has {_LEGACY_FIELDS} fields, this has {len(fields)}")
    v, r, s = map(rlp.to_int, fields[6:])
    signed: list[Item] = fields[:6]
    chain_id: int | None = None
    parity = v - 27
    if v >= 35:
        chain_id, parity = divmod(v - 35, 2)
        signed = [*signed, rlp.from_int(chain_id), b"", b""]
    sender = recover_sender(keccak256(rlp.encode(signed)), parity, r, s)
    return PublicTransaction(keccak256(raw), chain_id, rlp.to_int(fields[0]), sender, rlp.to_bytes(fields[5]))


def recover_sender(signing_hash: bytes, parity: int, r: int, s: int) -> bytes:
    """The address whose key made this secp256k1 signature; 20 bytes. Raises VerificationError (also for a
    high s, which EIP-2 forbids)."""
    try:
        from coincurve import PublicKey  # lazily: only anchors need it
    except ImportError:
        raise VerificationError("public-chain proofs need coincurve: pip install coincurve") from None
    if parity not in (0, 1) or not 0 < r < _CURVE_ORDER or not 0 < s <= _CURVE_ORDER // 2:
        raise VerificationError("the transaction's signature is out of range")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(signature, signing_hash, hasher=None)
    except ValueError:
        raise VerificationError("the transaction's signature belongs to no key") from None
    return address(key.format(compressed=False))


def read_trie(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes:
    """The value under ``key`` in the Merkle-Patricia trie of ``root`` (Yellow Paper, appendix D).

    nodes: the hashed nodes on the way, root first; each must be used. Raises VerificationError or RlpError.
    """
    remaining = iter(nodes)
    path = nibbles(key)
    reference: Item = root
    while True:
        node = _follow(reference, remaining)
        if len(node) == 17:
            if not path:
                return _value(node[16], remaining)
            reference, path = node[path[0]], path[1:]
        elif len(node) == 2:
            is_leaf, part = _unpack_path(rlp.to_bytes(node[0]))
            if path[: len(part)] != part or (is_leaf and len(part) != len(path)):
                raise VerificationError("the proof leads to another position in the block")
            if is_leaf:
                return _value(node[1], remaining)
            reference, path = node[1], path[len(part) :]
        else:
            raise VerificationError(f"a trie node has 2 or 17 items, this has {len(node)}")


def _follow(reference: Item, remaining: Iterator[bytes]) -> list[Item]:
    """The node a reference stands for: inline if it is short, else the next of the proof, by its hash."""
    if not isinstance(reference, bytes):
        return reference
    if not reference:
        raise VerificationError("there is no transaction at this position of the block")
    raw = next(remaining, None)
    if raw is None:
        raise VerificationError("the proof ends before the transaction")
    if keccak256(raw) != reference:
        raise VerificationError("a node of the proof does not match its hash")
    return rlp.to_list(rlp.decode(raw))


def _value(item: Item, remaining: Iterator[bytes]) -> bytes:
    if next(remaining, None) is not None:
        raise VerificationError("the proof has nodes that lead nowhere")
    value = rlp.to_bytes(item)
    if not value:
        raise VerificationError("there is no transaction at this position of the block")
    return value


def nibbles(key: bytes) -> tuple[int, ...]:
    """The half bytes of a trie key, high one first."""
    return tuple(half for byte in key for half in (byte >> 4, byte & 15))


def _unpack_path(packed: bytes) -> tuple[bool, tuple[int, ...]]:
    """(is a leaf, nibbles) of a hex-prefix path (Yellow Paper, appendix C)."""
    halves = nibbles(packed)
    flag = halves[0] if halves else 4
    if flag > 3 or (flag in (0, 2) and halves[1] != 0):
        raise VerificationError("a trie node's path is not in hex-prefix form")
    part = halves[1:] if flag & 1 else halves[2:]
    if flag < 2 and not part:
        raise VerificationError("a trie extension is empty")
    return flag >= 2, part
