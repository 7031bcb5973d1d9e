"""Finished anchors offline: one entry for every kind, and an anchor as a document.

``verify_anchor`` is all a verifier calls: kind, checkpoint, proof, and what the caller trusts, which never comes out
of the evidence. It answers *existed no later than*, raises ``UnanchoredError`` where nothing trusted decides it, and
``VerificationError`` where the proof is wrong.

The document is made by the node at finality and checked by ``tally anchor verify``. JSON at this edge, because courts
and auditors read it; the bytes inside are hex.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chain import merkle
from chain.checkpoint import Checkpoint, CheckpointError, leaf
from chain.evm import (
    DEVELOPMENT_CHAINS,
    DEVELOPMENT_NOTE,
    EvmProof,
    UnanchoredError,
    VerificationError,
    decode_header,
    verify,
)

__all__ = [
    "DEVELOPMENT_NOTE",
    "KINDS",
    "Anchor",
    "Existed",
    "Trusted",
    "UnanchoredError",
    "VerificationError",
    "verify_anchor",
]

FORMAT: Final = "tally/anchor/1"
KINDS: Final = ("evm", "ots", "rfc3161", "witness")


@dataclass(frozen=True)
class Trusted:
    """What a verifier brings along; nothing of it is ever taken from the evidence.

    evm_blocks: {chain id: {block number: hash}}; evm_senders: 20-byte accounts whose anchors count; bitcoin_blocks:
    {height: hash}, 32 bytes as SHA-256 gives them (the reverse of what explorers show); tsa_roots: DER certificates
    of time-stamp authorities' roots; witnesses: {name: Ed25519 key, 32 bytes}; ca_roots: DER certificates for
    signatures of persons and courts; crls: DER revocation lists of either's issuers; development: whether a
    development chain may stand in for a public one, which makes a result of no evidential value and says so.
    """

    evm_blocks: Mapping[int, Mapping[int, bytes]] = field(default_factory=dict)
    evm_senders: frozenset[bytes] = frozenset()
    bitcoin_blocks: Mapping[int, bytes] = field(default_factory=dict)
    tsa_roots: tuple[bytes, ...] = ()
    witnesses: Mapping[str, bytes] = field(default_factory=dict)
    ca_roots: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    development: bool = False


@dataclass(frozen=True)
class Existed:
    """The result: the checkpoint existed no later than ``time`` (seconds since 1970).

    where: the public chain (``evm:1``, ``bitcoin``), the authority's subject, or the witness's name; block: number in
    it, None where there are none; development: the result has no evidential value, and ``note`` says so.
    """

    kind: str
    where: str
    time: int
    block: int | None = None
    note: str = ""
    development: bool = False


def verify_anchor(kind: str, checkpoint: Checkpoint, proof: bytes, trusted: Trusted) -> Existed:
    """Check that ``proof`` shows the checkpoint outside, for any of ``KINDS``.

    The checkpoint's network id is the caller's to compare. Each kind's module has
    ``existed(checkpoint, proof, trusted) -> Existed``. Raises UnanchoredError where nothing trusted decides it,
    VerificationError naming the failed step otherwise.
    """
    match kind:
        case "evm":
            return _evm(checkpoint, proof, trusted)
        case "ots":
            from chain.ots import existed as by_stamp

            return by_stamp(checkpoint, proof, trusted)
        case "rfc3161":
            from chain.rfc3161 import existed as by_token  # lazily: only tokens need an X.509 library

            return by_token(checkpoint, proof, trusted)
        case "witness":
            from chain.cosignature import existed as by_witness

            return by_witness(checkpoint, proof, trusted)
    raise VerificationError(f"unknown kind of anchor {kind!r}: use a newer release of tally")


def _evm(checkpoint: Checkpoint, proof: bytes, trusted: Trusted) -> Existed:
    found = EvmProof.decode(proof)
    development = found.chain_id in DEVELOPMENT_CHAINS
    if development and not trusted.development:
        raise VerificationError(
            f"DEVELOPMENT_CHAIN: chain {found.chain_id} is somebody's own machine and proves nothing; only "
            "--allow-development-chain lets it pass, for trying things out"
        )
    number = decode_header(found.header).number
    anchor = verify(
        found,
        checkpoint.payload,
        trusted_block_hash=trusted.evm_blocks.get(found.chain_id, {}).get(number),
        senders=trusted.evm_senders,
    )
    return Existed("evm", f"evm:{found.chain_id}", anchor.time, number, anchor.note, development)


@dataclass(frozen=True)
class Anchor:
    """A checkpoint and its proof outside. note: for the reader; nothing is believed because of it."""

    checkpoint: Checkpoint
    kind: str
    proof: bytes
    note: str = ""

    def verify(self, network_id: bytes, trusted: Trusted) -> Existed:
        """Check the anchor for this network; see ``verify_anchor``. Raises VerificationError, UnanchoredError."""
        if self.checkpoint.network_id != network_id:
            raise VerificationError("the anchor belongs to another network (other genesis hash)")
        return verify_anchor(self.kind, self.checkpoint, self.proof, trusted)

    def covers(self, height: int, block_hash: bytes, certificate_hash: bytes, path: Sequence[bytes]) -> bool:
        """Whether consortium block ``height`` is in the checkpoint's log; ``path`` from ``Log.inclusion``."""
        data = leaf(self.checkpoint.network_id, height, block_hash, certificate_hash)
        return merkle.verify(self.checkpoint.root, data, height - 1, self.checkpoint.size, path)

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "note": self.note,
            "checkpoint": self.checkpoint.body.decode(),
            "proof": self.proof.hex(),
        }

    @classmethod
    def from_json(cls, document: Any) -> Anchor:
        """The anchor of a document. Raises VerificationError."""
        try:
            if not isinstance(document, Mapping) or document["format"] != FORMAT:
                raise VerificationError(f"not an anchor document: format {FORMAT} expected")
            checkpoint = Checkpoint.parse(document["checkpoint"].encode())
            anchor = cls(checkpoint, document["kind"], bytes.fromhex(document["proof"]), document["note"])
        except (KeyError, TypeError, AttributeError, CheckpointError) as error:
            raise VerificationError(f"not an anchor document: {error}") from None
        except VerificationError:
            raise
        except ValueError:
            raise VerificationError("not an anchor document: the proof is not hex") from None
        if anchor.kind not in KINDS or anchor.note not in ("", DEVELOPMENT_NOTE) or anchor.to_json() != document:
            raise VerificationError("not an anchor document: it holds something else than the node writes")
        return anchor
