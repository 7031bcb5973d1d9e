"""A small consortium whose keys are all here: it makes transactions and seals blocks for the tests of chain/.

Everything follows from its label: the same label gives the same keys, the same genesis hash and the same blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from chain.block import CONSORTIUM, Block
from chain.certificate import Certificate, ValidatorSet, VoteKind, vote_message
from chain.codec import encode
from chain.crypto import SigningKey, sha256
from chain.ledger import Ledger
from chain.store import KeyValue, MemoryStore
from chain.transaction import Transaction, batch_args, make_body, parse, sign
from chain.transition import Transition
from genesis import document as documents
from genesis import library

GENESIS_TIME: Final = 1_750_000_000_000
ROLES: Final = {
    "erp": "erp",
    "guarantor": "guarantor",
    "lender": "lender",
    "office": "notary",
    "procurement": "procurement",
}
VOTERS: Final = ("erp", "guarantor", "lender", "procurement")
"""The validators of epoch 0: four of five members, so that a change of validators has somebody to take in."""


def key_of(label: str, owner: str, purpose: str) -> SigningKey:
    """The key of an owner and purpose in the consortium of a label."""
    return SigningKey.from_seed(sha256(f"{label}/{owner}/{purpose}".encode()))


def document_of(label: str = "test", **parameters: int) -> dict[str, Any]:
    """The genesis document of a label, checked as a real one is."""
    return documents.from_json(
        {
            "name": label,
            "time": GENESIS_TIME,
            "members": [_member(label, member) for member in ROLES],
            "parties": [],
            "parameters": {**documents.default_parameters(), **parameters},
            "templates": [library.template("bench")],
            "models": [library.model("standard-1")],
            "contracts": dict.fromkeys(documents.CONTRACTS, 1),
        }
    )


def record(number: str, *, corrects: bytes | None = None, **fields: str) -> bytes:
    """A record of the template ``bench``: a delivery, its date long before the genesis time."""
    values = {"issue_date": "2025-05-01", "item": "steel bar", "quantity": "12.5", **fields}
    source = ["test", "test", "1", bytes(32), GENESIS_TIME]
    return encode(
        ["tally/record", 1, "delivery", "GB-COH:1", number, "GB-COH:1", "GB-COH:2", "bench", 1, "2025-05-01", [],
         source, values, None, corrects]
    )  # fmt: skip


def record_key(number: str) -> bytes:
    """The state key of a record made by ``record``."""
    return encode(["records", "record", "delivery", "GB-COH:1", number])


class Consortium:
    """A ledger and the keys of all its members. ``now`` is the time of the newest block, ms."""

    def __init__(
        self,
        label: str = "test",
        *,
        store: KeyValue | None = None,
        document: Mapping[str, Any] | None = None,
        keys: Callable[[str, str], SigningKey] | None = None,
    ) -> None:
        """``keys`` gives the key of a member and purpose where a document has others than the label's."""
        self.document = document_of(label) if document is None else document
        self.ledger = Ledger.create(MemoryStore() if store is None else store, self.document)
        self.network_id = self.ledger.network_id
        self.now = self.ledger.head.time
        self.key = keys or partial(key_of, label)
        members = ROLES if keys is None else [row["id"] for row in self.document["members"] if row["validator"]]
        made = [self.key(member, "validator") for member in members]
        self.validator_keys = {key.public: key for key in made}
        self._serial = 0

    def signer(self, member: str) -> SigningKey:
        """A member's transaction key."""
        return self.key(member, "signer")

    # -- transactions -----------------------------------------------------------------------------------

    def call(self, member: str, method: str, /, chain: str = CONSORTIUM, **args: Any) -> Transaction:
        """A transaction ``contract.method`` signed by one member, valid for a minute."""
        return self.make(chain, method, args, [self.signer(member)])

    def submit(self, member: str, *records: bytes) -> Transaction:
        """A batch of records on the member's own chain."""
        return self.make(member, "records.submit", batch_args(list(records)), [self.signer(member)], records)

    def party(self, name: str, member: str = "procurement") -> Transaction:
        """The plainest transaction of the consortium chain: a party is registered."""
        return self.call(member, "registry.register_party", id=name, name=name, identifiers=[name])

    def make(
        self,
        chain: str,
        method: str,
        args: Mapping[str, Any],
        keys: Sequence[SigningKey],
        records: Sequence[bytes] = (),
        *,
        valid_until: int | None = None,
        network_id: bytes | None = None,
    ) -> Transaction:
        """Any transaction; each has a nonce of its own."""
        self._serial += 1
        contract, name = method.split(".")
        body = make_body(
            network_id=self.network_id if network_id is None else network_id,
            chain=chain,
            contract=contract,
            method=name,
            args=dict(args),
            signers=[key.public for key in keys],
            nonce=self._serial.to_bytes(16, "big"),
            valid_until=self.now + 60_000 if valid_until is None else valid_until,
        )
        return sign(body, list(keys), list(records))

    # -- blocks -----------------------------------------------------------------------------------------

    def build(
        self, *transactions: Transaction, time: int | None = None, proposer: str | None = None
    ) -> tuple[Block, Transition]:
        """A proposal on the head, one second after it."""
        members: dict[str, list[Transaction]] = {}
        for transaction in transactions:
            if transaction.chain != CONSORTIUM:
                members.setdefault(transaction.chain, []).append(transaction)
        return self.ledger.build(
            proposer=self.ledger.validators().ids[0] if proposer is None else proposer,
            time=self.ledger.head.time + 1_000 if time is None else time,
            member_txs=members,
            consortium_txs=[transaction for transaction in transactions if transaction.chain == CONSORTIUM],
        )

    def certify(
        self,
        block: Block,
        *,
        signers: Iterable[str] | None = None,
        round_number: int = 0,
        validators: ValidatorSet | None = None,
    ) -> Certificate:
        """COMMIT signatures over a block by all validators of the next height, or by the named ones."""
        chosen = self.ledger.validators() if validators is None else validators
        message = vote_message(
            self.network_id, chosen.epoch, VoteKind.COMMIT, block.height, round_number, block.digest
        )
        names = sorted(chosen.ids if signers is None else signers)
        seals = tuple((name, self.validator_keys[chosen.keys[name]].sign(message)) for name in names)
        return Certificate(block.height, round_number, block.digest, chosen.epoch, seals)

    def seal(self, *transactions: Transaction, time: int | None = None) -> Block:
        """Build a block, check it as a replica does, certify it with a bare quorum and commit it."""
        block, _ = self.build(*transactions, time=time)
        validators = self.ledger.validators()
        commit(self.ledger, block, self.certify(block, signers=validators.ids[: validators.quorum]))
        self.now = block.header.time
        return block


def vote_in(consortium: Consortium, change: dict[str, Any]) -> Block:
    """Propose a change in one block and bring its quorum in the next, which is returned."""
    voters = consortium.ledger.validators().ids
    proposal = consortium.call(voters[0], "gov.propose", change=change)
    consortium.seal(proposal)
    needed = consortium.ledger.validators().quorum
    votes = [consortium.call(voter, "gov.vote", proposal=proposal.id, accept=True) for voter in voters[1:needed]]
    return consortium.seal(*votes)


def transactions_of(block: Block) -> list[Transaction]:
    """A block's transactions in block order."""
    wires = [wire for _, group in block.member_txs for wire in group]
    return [parse(wire) for wire in (*wires, *block.consortium_txs)]


def commit(ledger: Ledger, block: Block, certificate: Certificate) -> Transition:
    """What a replica does with a decided block that comes as bytes."""
    received = Block.decode(block.encoded)
    outcome = ledger.execute(received)
    ledger.commit(received, certificate, outcome, transactions_of(received))
    return outcome


def _member(label: str, member: str) -> dict[str, Any]:
    votes = member in VOTERS
    return {
        "id": member,
        "role": ROLES[member],
        "validator": key_of(label, member, "validator").public.hex() if votes else None,
        "network": key_of(label, member, "network").public.hex(),
        "signers": [{"key": key_of(label, member, "signer").public.hex(), "rights": ["*"]}],
    }
