"""From the real case in process to its bundle: anchors confirmed on the chain, and a client as a node's API is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from chain.anchor import Trusted
from chain.checkpoint import Checkpoint
from chain.cosignature import Note, cosign, sign_checkpoint
from chain.crypto import SigningKey, sha256
from chain.evm import verify
from tests import certificates
from tests.certificates import Holder, Token
from tests.evidence_publics import EvmWriter, log_of, stamped
from tests.evidence_world import CaseWorld

WITNESS: Final = "witness.evidence.org.cn/w1"
LATER_S: Final = 600
"""From the newest block to what is seen outside."""


@dataclass
class Publics:
    """Everything outside that a verifier may trust, or that a forger makes for himself under another name."""

    name: str = "public"
    root: Holder = field(default_factory=certificates.root)
    evm_blocks: dict[int, dict[int, bytes]] = field(default_factory=dict)
    bitcoin_blocks: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.writer = EvmWriter(self.name)
        self.authority = certificates.authority(self.root)
        self.witness = SigningKey.from_seed(sha256(f"witness/{self.name}".encode()))

    def trusted(self, *, development: bool = False) -> Trusted:
        """What a court that asked around would put into its trust file."""
        return Trusted(
            evm_blocks=self.evm_blocks,
            evm_senders=frozenset({self.writer.address}),
            bitcoin_blocks=self.bitcoin_blocks,
            tsa_roots=(self.root.der,),
            witnesses={WITNESS: self.witness.public},
            development=development,
        )

    # -- proofs of a checkpoint, each with the arguments of its confirmation -------------------------------------

    def evm(self, checkpoint: Checkpoint, time: int, number: int = 21_000_000) -> dict[str, Any]:
        """In a public block. time: seconds."""
        proof, block_hash = self.writer.block(checkpoint.payload, number=number, time=time)
        self.evm_blocks.setdefault(self.writer.chain_id, {})[number] = block_hash
        senders = {self.writer.address}
        found = verify(proof, checkpoint.payload, trusted_block_hash=block_hash, senders=senders)
        return {
            "backend": "evm", "public_time": time, "proof": proof.encode(), "chain_id": proof.chain_id,
            "block_number": number, "block_hash": block_hash, "tx_hash": found.transaction_hash,
            "sender": found.sender,
        }  # fmt: skip

    def rfc3161(self, checkpoint: Checkpoint, time: int) -> dict[str, Any]:
        """A time-stamp token."""
        said = datetime.fromtimestamp(time, UTC).strftime("%Y%m%d%H%M%SZ")
        token = Token(self.authority, checkpoint.body, stamped=said).response()
        root = sha256(self.root.der)
        return {"backend": "rfc3161", "public_time": time, "proof": token, "authority": root, "development": False}

    def ots(self, checkpoint: Checkpoint, time: int) -> dict[str, Any]:
        """An OpenTimestamps proof on a trial chain: only a development flag makes it count."""
        proof, block_hash = stamped(checkpoint.body, time=time)
        self.bitcoin_blocks[proof.height] = block_hash
        return {
            "backend": "ots", "public_time": time, "proof": proof.encode(), "block_number": proof.height,
            "block_hash": block_hash,
        }  # fmt: skip

    def cosigned(self, checkpoint: Checkpoint, time: int, log_key: SigningKey) -> dict[str, Any]:
        """A witness's cosignature."""
        note = sign_checkpoint(checkpoint, log_key)
        line = cosign(note.text, WITNESS, self.witness, time)
        proof = Note(note.text, (*note.lines, line)).encode()
        key = self.witness.public
        return {"backend": "witness", "public_time": time, "proof": proof, "witness": key, "development": False}


def anchor(world: CaseWorld, publics: Publics) -> Checkpoint:
    """Let every kind of place see the log, and confirm it on the chain; gives the checkpoint."""
    log = log_of(world.ledger)
    checkpoint = log.checkpoint(world.network_id, len(log))
    time = world.now // 1_000 + LATER_S
    found = [
        publics.evm(checkpoint, time),
        publics.rfc3161(checkpoint, time + 30),
        publics.ots(checkpoint, time + 60),
        publics.cosigned(checkpoint, time, world.key("bank", "log")),
    ]
    world.seal(time=world.now + 2 * LATER_S * 1_000)
    for args in found:
        place = {"size": checkpoint.size, "root": checkpoint.root}
        world.do(f"anchor {args['backend']}", "bank", "anchor.confirm", **place, **args)
    return checkpoint
