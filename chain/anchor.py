"""One finished anchor as a document: a checkpoint of the log and the proof that a public block carries it.

Made by the node at finality, carried in evidence bundles, and checked by ``tally anchor verify`` offline.
JSON at this edge, because courts and auditors read it; the bytes inside are hex.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import merkle
from chain.checkpoint import Checkpoint, CheckpointError, leaf
from chain.evm import DEVELOPMENT_CHAINS, DEVELOPMENT_NOTE, EvmAnchor, EvmProof, VerificationError, verify

FORMAT: Final = "tally/anchor/1"


@dataclass(frozen=True)
class Anchor:
    """A checkpoint and its proof on an Ethereum-like chain."""

    checkpoint: Checkpoint
    proof: EvmProof

    @property
    def note(self) -> str:
        """``DEV-ANCHOR: proves nothing`` where the public chain is somebody's own, else empty."""
        return DEVELOPMENT_NOTE if self.proof.chain_id in DEVELOPMENT_CHAINS else ""

    def verify(self, network_id: bytes, *, trusted_block_hash: bytes | None, senders: Collection[bytes]) -> EvmAnchor:
        """Check the anchor for this network; see ``chain.evm.verify``.

        Raises VerificationError, and UnanchoredError where no trusted block hash is given.
        """
        if self.checkpoint.network_id != network_id:
            raise VerificationError("the anchor belongs to another network (other genesis hash)")
        payload = self.checkpoint.payload
        return verify(self.proof, payload, trusted_block_hash=trusted_block_hash, senders=senders)

    def covers(self, height: int, block_hash: bytes, certificate_hash: bytes, path: Sequence[bytes]) -> bool:
        """Whether consortium block ``height`` is in the checkpoint's log; ``path`` from ``Log.inclusion``."""
        data = leaf(self.checkpoint.network_id, height, block_hash, certificate_hash)
        return merkle.verify(self.checkpoint.root, data, height - 1, self.checkpoint.size, path)

    def to_json(self) -> dict[str, Any]:
        """The document. ``note`` is there for the reader; what is believed comes from the proof's chain id."""
        return {
            "format": FORMAT,
            "note": self.note,
            "checkpoint": self.checkpoint.body.decode(),
            "payload": self.checkpoint.payload.hex(),
            "chain_id": self.proof.chain_id,
            "proof": self.proof.encode().hex(),
        }

    @classmethod
    def from_json(cls, document: Any) -> Anchor:
        """The anchor of a document. Raises VerificationError."""
        try:
            if not isinstance(document, Mapping) or document["format"] != FORMAT:
                raise VerificationError(f"not an anchor document: format {FORMAT} expected")
            proof = EvmProof.decode(bytes.fromhex(document["proof"]))
            anchor = cls(Checkpoint.parse(document["checkpoint"].encode()), proof)
        except (KeyError, TypeError, AttributeError, CheckpointError) as error:
            raise VerificationError(f"not an anchor document: {error}") from None
        except VerificationError:
            raise
        except ValueError:
            raise VerificationError("not an anchor document: the proof is not hex") from None
        if anchor.to_json() != document:
            raise VerificationError("the anchor document contradicts its own proof")
        return anchor
