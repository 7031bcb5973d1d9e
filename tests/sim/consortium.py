"""The consortium that a run simulates: genesis document, keys and signed transactions, all from the number n."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from chain.block import CONSORTIUM
from chain.certificate import ValidatorSet
from chain.codec import encode
from chain.crypto import SigningKey, sha256
from chain.identity import genesis_validators
from chain.ledger import Ledger
from chain.store import MemoryStore
from chain.transaction import Transaction, batch_args, make_body, sign
from genesis import document as documents
from genesis import library

GENESIS_TIME: Final = 1_700_000_000_000
"""Block time 0 of every run, ms; a run's virtual time counts from here."""
T0_MS: Final = 4_000
MAX_IDLE_MS: Final = 3_000
TRANSACTIONS: Final = 24
"""Transactions the clients have: every third is a batch of one record on a business chain."""

_ROLES: Final = ("procurement", "erp", "guarantor", "lender", "regulator", "insurer", "court", "notary")
_UPLOADERS: Final = ("procurement", "erp", "guarantor", "lender")


@dataclass(frozen=True)
class Consortium:
    """``keys`` are the validators' by member id; ``rows`` the store after genesis."""

    validators: ValidatorSet
    network_id: bytes
    keys: dict[str, SigningKey]
    rows: MemoryStore
    transactions: tuple[Transaction, ...]
    by_wire: dict[bytes, Transaction]

    def open_ledger(self, store: MemoryStore, check: Any) -> Ledger:
        """The ledger of one node in its store; a new store gets the genesis rows."""
        if not store.get(b"m:network"):
            store.write(list(self.rows.scan(b"", b"\xff" * 16)))
        return Ledger(store, self.network_id, check)


def member_ids(n: int) -> tuple[str, ...]:
    """The ids of n validators: a role each, numbered where a role comes again."""
    return tuple(
        _ROLES[at % len(_ROLES)] + (f"-{at // len(_ROLES) + 1}" if at >= len(_ROLES) else "") for at in range(n)
    )


@lru_cache(maxsize=8)
def consortium(n: int) -> Consortium:
    """The consortium of n validators; made once a process."""
    keys = {member: _key(member, "validator") for member in member_ids(n)}
    document = documents.from_json(
        {
            "name": f"simulated-{n}",
            "time": GENESIS_TIME,
            "members": [_member(member) for member in member_ids(n)],
            "parties": [],
            "parameters": {**documents.default_parameters(), "t0_ms": T0_MS, "max_idle_ms": MAX_IDLE_MS},
            "templates": [library.template("bench")],
            "models": [library.model("standard-1")],
            "contracts": dict.fromkeys(documents.CONTRACTS, 1),
        }
    )
    store = MemoryStore()
    ledger = Ledger.create(store, document)
    transactions = tuple(_transaction(ledger.network_id, n, number) for number in range(TRANSACTIONS))
    by_wire = {transaction.wire: transaction for transaction in transactions}
    return Consortium(genesis_validators(document), ledger.network_id, keys, store, transactions, by_wire)


def _key(member: str, purpose: str) -> SigningKey:
    return SigningKey.from_seed(sha256(f"{member} {purpose}".encode()))


def _member(member: str) -> dict[str, Any]:
    return {
        "id": member,
        "role": member.partition("-")[0],
        "validator": _key(member, "validator").public.hex(),
        "network": _key(member, "network").public.hex(),
        "signers": [{"key": _key(member, "signer").public.hex(), "rights": ["*"]}],
    }


def _transaction(network_id: bytes, n: int, number: int) -> Transaction:
    role = _UPLOADERS[number % min(n, len(_UPLOADERS))]
    key = _key(role, "signer")
    records = [_record(role, number)] if number % 3 == 0 else []
    party = {"id": f"party-{number}", "name": f"Party {number}", "identifiers": [f"party-{number}"]}
    body = make_body(
        network_id=network_id,
        chain=role if records else CONSORTIUM,
        contract="records" if records else "registry",
        method="submit" if records else "register_party",
        args=batch_args(records) if records else party,
        signers=[key.public],
        nonce=number.to_bytes(16, "big"),
        valid_until=GENESIS_TIME + 3_000_000,
    )
    return sign(body, [key], records)


def _record(role: str, number: int) -> bytes:
    source = ["erp-export", "ubl", "1", sha256(number.to_bytes(4, "big")), GENESIS_TIME]
    fields = {"issue_date": "2023-11-01", "item": f"item {number}", "quantity": "10"}
    return encode(
        ["tally/record", 1, "delivery", role, f"D-{number}", "enterprise", "buyer", "bench", 1, "2023-11-01", [],
         source, fields, None, None]
    )  # fmt: skip
