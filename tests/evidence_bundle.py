"""From the real case in process to its bundle: anchors confirmed on the chain, and a client as a node's API is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from chain.anchor import Trusted
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.cosignature import Note, cosign, sign_checkpoint
from chain.crypto import SigningKey, sha256
from chain.disclosure import Disclosure
from chain.evm import verify
from chain.ledger import Ledger
from chain.proof import prove_record_by_id, prove_state, prove_transaction
from contracts.context import KeyPart
from tallystick.evidence.assemble import AnchorRow, Opened, assemble
from tallystick.evidence.contents import Sealed
from tallystick.evidence.facts import Chosen, Stated
from tallystick.evidence.walk import PaperName
from tallystick.litigation.documents import as_json
from tallystick.litigation.gather import case_facts
from tallystick.litigation.particulars import parse
from tests import certificates
from tests.certificates import Holder, Token
from tests.contracts.trading import BUYER, SUPPLIER
from tests.evidence_case import CaseWorld, signatory
from tests.evidence_publics import EvmWriter, log_of, stamped
from tests.evidence_world import LABEL

WITNESS: Final = "witness.evidence.org.cn/w1"
LATER_S: Final = 600
"""From the newest block to what is seen outside."""


@dataclass
class Publics:
    """Everything outside that a verifier may trust, or that a forger makes for himself under another name."""

    name: str = "public"
    root: Holder = field(default_factory=certificates.root)
    ca: Holder = field(default_factory=lambda: certificates.root("Test CA"))
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
            ca_roots=(self.ca.der,),
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

    def ots(self, checkpoint: Checkpoint, time: int, height: int = 840_000) -> dict[str, Any]:
        """An OpenTimestamps proof on a trial chain: only a development flag makes it count."""
        proof, block_hash = stamped(checkpoint.body, time=time, height=height)
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


def told(publics: Publics, label: str = LABEL, kind: type[CaseWorld] = CaseWorld) -> CaseWorld:
    """A consortium that has told the whole story."""
    world = kind(label, signatory(publics.ca))
    world.until_case()
    return world


def anchor(world: CaseWorld, publics: Publics, later_s: int = LATER_S, number: int = 21_000_000) -> Checkpoint:
    """Let every kind of place see the log, so long after block time, and confirm it on the chain."""
    log = log_of(world.ledger)
    checkpoint = log.checkpoint(world.network_id, len(log))
    time = world.now // 1_000 + later_s
    found = [
        publics.evm(checkpoint, time, number),
        publics.rfc3161(checkpoint, time + 30),
        publics.ots(checkpoint, time + 60, number - 20_160_000),
        publics.cosigned(checkpoint, time, world.key("bank", "log")),
    ]
    world.seal(time=world.now + 2 * LATER_S * 1_000)
    for args in found:
        place = {"size": checkpoint.size, "root": checkpoint.root}
        world.do(f"anchor {args['backend']}", "bank", "anchor.confirm", **place, **args)
    return checkpoint


class LedgerProver:
    """A ledger of this process as the one who makes proofs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.network_id: bytes = ledger.network_id

    def prove_state(self, chain: str, contract: str, *key: KeyPart, at: int | None = None) -> bytes:
        """See tallystick.evidence.assemble.Prover."""
        return prove_state(self._ledger, chain, encode([contract, *key]), at)

    def prove_transaction(self, tx_id: bytes) -> bytes:
        """See Prover."""
        return prove_transaction(self._ledger, tx_id)

    def prove_record(self, record_id: bytes, *, chain: str | None = None) -> bytes:
        """See Prover."""
        return prove_record_by_id(self._ledger, record_id, chain)


PAPERS: Final = (
    PaperName("erp", "invoice", SUPPLIER, "I-1"),
    PaperName("erp", "invoice", SUPPLIER, "I-2"),
    PaperName("procurement", "order", BUYER, "O-2"),
    PaperName("procurement", "receipt", BUYER, "R-1"),
)
"""Papers of the trade that the bank adds to those of the loan."""
ANCHOR_PARTS: Final = ("backend", "size", "root", "proof", "public_time")


def bundle(
    world: CaseWorld, at: int, anchored: Sequence[int] | None = None, signer: str = "bank", **chosen: Any
) -> bytes:
    """The bank's bundle as of a block. anchored: numbers of the confirmations to take along, all unless told."""
    count = world.state("anchor", "anchor_count")
    rows = [world.state("anchor", "anchor", number) for number in (range(count) if anchored is None else anchored)]
    opened = ((world.originals["invoice I-1"].id, ("payee_account", "payee_bank")),)
    return assemble(
        LedgerProver(world.ledger),
        Chosen(**{"application": world.application, "papers": PAPERS, "opened": opened, **chosen}),
        world.signer(signer),
        "bank",
        at,
        disclose=lambda _chain, record, proof, names: disclosed(world, record, proof, names),
        anchored=[
            AnchorRow(row["backend"], row["size"], row["root"], row["proof"], row["public_time"]) for row in rows
        ],
        log=log_of(world.ledger),
        documents=lambda stated: papers(stated, world.case),
    )


def papers(stated: Stated, case: bytes) -> dict[str, bytes]:
    """The facts that the route's papers are set from, once there is a case, beside a paper that stands for them."""
    if not stated.dossier.cases:
        return {}
    particulars = b"{}\n"
    facts = as_json(case_facts(stated, parse(particulars, "particulars.json"), case))
    return {"facts.json": facts, "particulars.json": particulars, "application.zh.pdf": b"%PDF-1.7 a paper\n"}


def disclosed(world: CaseWorld, record: Sealed, proof: bytes, names: Sequence[str]) -> Opened:
    """What a record's owner discloses of it, with the file it was read from."""
    original = next(found for found in world.originals.values() if found.id == record.id)
    openings = () if original.body is None else tuple(original.body.open(name) for name in names)
    all_names = original.body.names() if original.body is not None and openings else None
    return Opened(Disclosure(proof, all_names, openings, original.raw.salt), original.raw.file)
