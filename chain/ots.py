"""The OpenTimestamps proof of an anchor, and its check against block hashes that the reader brings.

A proof is an ``.ots`` file (``chain.ots_stamp``), which the stock client takes as it is, together with the headers
that a reader without a Bitcoin node needs. From the outside in: a trusted block hash → headers → Merkle root → the
stamp's operations → the SHA-256 of the stamped file. See ``chain.bitcoin`` for what is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from chain.anchor import Existed, Trusted
from chain.bitcoin import HEADER_SIZE, Established, Header, establish
from chain.checkpoint import Checkpoint
from chain.codec import CodecError, decode, encode, is_tagged
from chain.evm import DEVELOPMENT_NOTE, UnanchoredError
from chain.ots_stamp import MAX_FILE_SIZE, MAX_HEIGHT, OtsError, decode_file

KIND: Final = "ots"
PLACE: Final = "bitcoin"
PROOF_TAG: Final = "tally/ots_proof"
PROOF_VERSION: Final = 1
MAX_HEADERS: Final = 4032
"""Two difficulty periods, four weeks of blocks, 323 kB: how far from the stamp a pinned hash may lie."""


@dataclass(frozen=True)
class OtsProof:
    """What an anchor of kind ``ots`` carries.

    file: the ``.ots`` file; height: the Bitcoin block it names; headers: that block's header and any that follow
    it without a gap, 80 bytes each, so that a reader may pin the hash of a later block.
    """

    file: bytes
    height: int
    headers: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Canonical bytes."""
        return encode([PROOF_TAG, PROOF_VERSION, self.file, self.height, b"".join(self.headers)])

    @classmethod
    def decode(cls, data: bytes) -> OtsProof:
        """Raises OtsError; accepts only what ``encode`` makes."""
        if len(data) > MAX_FILE_SIZE + MAX_HEADERS * HEADER_SIZE + 1024:
            raise OtsError("OTS_PROOF_SIZE", "the OpenTimestamps proof is too large: export it again")
        try:
            value = decode(data)
        except CodecError as error:
            raise OtsError("OTS_PROOF_FORM", f"not an OpenTimestamps proof: {error}") from None
        if not is_tagged(value, PROOF_TAG, PROOF_VERSION, 5):
            raise OtsError("OTS_PROOF_FORM", f"not an OpenTimestamps proof: tag {PROOF_TAG} expected")
        _, _, file, height, headers = value
        if type(file) is not bytes or type(height) is not int or type(headers) is not bytes:
            raise OtsError("OTS_PROOF_FORM", "not an OpenTimestamps proof: file, height and headers expected")
        count, rest = divmod(len(headers), HEADER_SIZE)
        if rest or not 1 <= count <= MAX_HEADERS or not 0 <= height <= MAX_HEIGHT:
            raise OtsError("OTS_PROOF_FORM", f"an OpenTimestamps proof has 1 to {MAX_HEADERS} whole headers")
        cut = tuple(headers[place : place + HEADER_SIZE] for place in range(0, len(headers), HEADER_SIZE))
        return cls(file, height, cut)


def verify(proof: OtsProof, stamped: bytes, trusted: Mapping[int, bytes]) -> Established:
    """The Bitcoin block that shows that ``stamped`` existed, by the reader's own block hashes.

    stamped: the bytes of the stamped file; trusted: block hashes by height, internal order.

    Raises OtsError or BitcoinError where something does not hold, UnanchoredError where nothing was shown and
    nothing refuted: a calendar's promise only, or no trusted hash.
    """
    stamp = decode_file(proof.file)
    if stamp.message != sha256(stamped).digest():
        raise OtsError("OTS_OTHER_FILE", "the stamp is of another file: the hashes differ")
    attested = stamp.bitcoin()
    if not attested:
        raise UnanchoredError("UNANCHORED: the stamp holds a calendar's promise only: upgrade it when Bitcoin has it")
    roots = [root for root, height in attested if height == proof.height]
    if not roots:
        raise OtsError("OTS_OTHER_BLOCK", f"the stamp says nothing of Bitcoin block {proof.height}: refuse the proof")
    if not proof.headers or Header.decode(proof.headers[0]).merkle_root not in roots:
        raise OtsError(
            "OTS_WRONG_ROOT", f"the stamp does not lead to the Merkle root of Bitcoin block {proof.height}: refuse it"
        )
    return establish(proof.height, proof.headers, trusted)


def existed(checkpoint: Checkpoint, proof: bytes, trusted: Trusted) -> Existed:
    """The anchor of kind ``ots``: proof is an ``OtsProof`` over the checkpoint's text.

    Raises UnanchoredError where no trusted block hash decides it, VerificationError otherwise.
    """
    decoded = OtsProof.decode(proof)
    block = verify(decoded, checkpoint.body, trusted.bitcoin_blocks)
    if block.development and not trusted.development:
        raise OtsError(
            "DEVELOPMENT_CHAIN",
            f"Bitcoin block {block.height} was too easy to make for the main chain and proves nothing; only "
            "--allow-development-chain lets it pass, for trying things out",
        )
    note = DEVELOPMENT_NOTE if block.development else ""
    return Existed(KIND, PLACE, block.no_later_than, block.height, note, block.development)
