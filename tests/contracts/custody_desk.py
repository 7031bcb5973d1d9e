"""Custody for contract tests: five members, deposits whose copies are real bytes, and proofs made from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from chain import merkle
from chain.codec import encode
from contracts import custody, custody_rounds, custody_rules, gov, registry
from contracts.context import Value
from contracts.custody_proofs import CHUNK, entry, sampled_chunk, sampled_object
from tests.contracts.memory_context import CONSORTIUM, Ledger, Receipt, key
from tests.contracts.small_consortium import document

INTERVAL = 60_000
ANSWER = 10_000
SIZES = (1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7)
"""Bytes of the copies that a deposit has: the edges of a chunk among them."""


class Copy:
    """What one custodian is to hold of a deposit: bytes of its own for each object."""

    def __init__(self, label: str, holder: str, sizes: Iterable[int] = SIZES) -> None:
        self.copies = [_bytes(f"{label}/{holder}/{index}", size) for index, size in enumerate(sizes)]
        self.leaves = [
            encode(entry(hashlib.sha256(f"{label}/{index}".encode()).digest(), len(copy), merkle.root(chunks(copy))))
            for index, copy in enumerate(self.copies)
        ]
        self.root = merkle.root(self.leaves)

    def prove(self, seed: bytes, sample: int) -> list[Value]:
        """The proof that a sample asks for."""
        index = sampled_object(seed, sample, len(self.copies))
        number = sampled_chunk(seed, sample, len(self.copies[index]))
        return self.chunk(index, number)

    def chunk(self, index: int, number: int) -> list[Value]:
        """The proof of one chunk of one object."""
        pieces = chunks(self.copies[index])
        return [self.leaves[index], merkle.prove(self.leaves, index), pieces[number], merkle.prove(pieces, number)]


class Desk:
    """A ledger with custody, and the copies of every deposit by (chain, number, custodian)."""

    def __init__(self, **parameters: int) -> None:
        rules = {"custody_challenge_ms": INTERVAL, "custody_answer_ms": ANSWER, "custody_copies": 3, **parameters}
        whole = document(parameters=rules)
        for member in whole["members"]:
            member["encryption"] = key(f"{member['id']} encryption") if member["id"] != "office" else None
        whole["parties"][0]["encryption"] = key("acme encryption")
        modules: dict[str, Any] = {
            "custody": SimpleNamespace(
                METHODS=custody.METHODS, begin_block=custody_rounds.begin_block, genesis=custody_rounds.genesis
            ),
            "gov": gov,
            "registry": registry,
        }
        self.ledger = Ledger(modules, whole)
        self.copies: dict[tuple[str, int, str], Copy] = {}
        self.ledger.next_block()

    def call(self, member: str, method: str, /, **args: Any) -> Receipt:
        """custody.METHOD signed by a member's signer key."""
        return self.ledger.call(CONSORTIUM, f"custody.{method}", args, [key(member)])

    def read(self, *parts: str | int) -> Any:
        """State of the contract as it stands now."""
        return self.ledger.read(CONSORTIUM, "custody", *parts)

    def custodians(self, chain: str) -> list[str]:
        """Those that keep a chain's documents now."""
        return custody_rules.custodians(self.view(), chain)

    def view(self) -> Any:
        """What reads the consortium's rules off the chain."""
        return SimpleNamespace(height=self.ledger.height, read=self.ledger.read)

    def deposit(self, chain: str, label: str = "", sizes: Iterable[int] = SIZES) -> int:
        """A deposit of a chain, with copies for its custodians; its number."""
        sizes = tuple(sizes)
        number: int = self.read("deposits", chain) or 0
        made = {member: Copy(f"{chain}/{number}/{label}", member, sizes) for member in self.custodians(chain)}
        done = self.call(
            chain, "deposit", objects=len(sizes), bytes=sum(sizes), roots={name: made[name].root for name in made}
        )
        assert done.result == {"deposit": number, "known": False}, done
        self.copies |= {(chain, number, name): copy for name, copy in made.items()}
        return number

    def hold(self, custodian: str, chain: str, *numbers: int, of: str | None = None) -> Receipt:
        """A custodian says that it holds deposits."""
        source = {} if of is None else {"of": of}
        return self.call(custodian, "hold", chain=chain, deposits=list(numbers), **source)

    def held(self, chain: str, count: int = 1) -> list[int]:
        """Some deposits of a chain, held by all its custodians."""
        numbers = [self.deposit(chain) for _ in range(count)]
        for custodian in self.custodians(chain):
            assert self.hold(custodian, chain, *numbers).ok
        return numbers

    def challenge(self, chain: str, custodian: str) -> dict[str, Any]:
        """What a custodian was asked last."""
        found: dict[str, Any] = self.read("challenge", chain, custodian)
        return found

    def proofs(self, chain: str, custodian: str, holder: str | None = None) -> list[Any]:
        """Right proofs for a challenge, from the copies made for holder (its own)."""
        asked = self.challenge(chain, custodian)
        return [
            self.copies[chain, number, holder or custodian].prove(asked["seed"], sample)
            for sample, number in enumerate(asked["deposits"])
        ]

    def answer(self, chain: str, custodian: str, proofs: list[Any] | None = None) -> Receipt:
        """Answer a challenge, rightly unless told otherwise."""
        given = self.proofs(chain, custodian) if proofs is None else proofs
        number = self.challenge(chain, custodian)["round"]
        return self.call(custodian, "answer", chain=chain, round=number, proofs=given)

    def round(self) -> list[tuple[str, dict[str, Value]]]:
        """Go to the block in which the next round begins; its events."""
        events = self.ledger.next_block(time=max(self.read("round")["wake"], self.ledger.time + 1))
        assert self.read("round")["stage"] != custody_rounds.REST
        return events

    def settle(self) -> list[tuple[str, dict[str, Value]]]:
        """Let the time to answer pass; the events of the block that settles."""
        for _ in range(custody_rounds.ANSWER_BLOCKS - 1):
            assert not self.ledger.next_block(after_ms=1)
        return self.ledger.next_block(time=self.read("round")["wake"])


def story() -> str:
    """Custody of three chains through three rounds, with everything that can happen to it; the root it comes to."""
    desk = Desk()
    desk.call("erp", "name_readers", rules={"invoice": ["procurement", "acme"], "*": ["lender", "guarantor"]})
    for chain in ("procurement", "erp", "lender"):
        desk.held(chain, 3)
    desk.round()
    for custodian in ("office", "guarantor"):
        assert desk.answer("erp", custodian).ok
    assert desk.settle()
    assert desk.call("erp", "appoint", custodians=["procurement", "lender"]).ok
    assert desk.hold("procurement", "erp", 2, 0, of="office").ok
    assert desk.call("lender", "lost", chain="erp", deposits=[1, 0]).ok
    desk.round()
    assert desk.answer("erp", "lender").ok
    assert desk.hold("lender", "erp", 0).ok
    desk.settle()
    desk.round()
    return desk.ledger.head(CONSORTIUM)[2].hex()


def chunks(copy: bytes) -> list[bytes]:
    """A copy in chunks."""
    return [copy[start : start + CHUNK] for start in range(0, len(copy), CHUNK)]


def _bytes(label: str, size: int) -> bytes:
    return hashlib.shake_128(label.encode()).digest(size)
