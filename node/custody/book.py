"""What the consortium chain says about custody, read at this node's head.

The one place that knows the state keys of contracts/custody.py and of the registry's keys; everything else here asks
the book. Reads are small and made in the node's own loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import trio

from chain.crypto import hash_value
from contracts import custody_rules
from contracts.context import KeyPart, Value
from node.anchor_duty import Read
from node.envelope import Recipient
from node.vault import Deposit


class DepositRow(NamedTuple):
    """A deposit as the chain has it. roots: of each custodian's copies; held: by whom, since which height; of: whose
    copy a custodian holds, where it is not its own."""

    number: int
    objects: int
    size: int
    roots: Mapping[str, bytes]
    held: Mapping[str, int]
    of: Mapping[str, str]

    def held_as(self, custodian: str) -> str | None:
        """Whose copy the custodian says it holds; None where it holds none."""
        return self.of.get(custodian, custodian) if custodian in self.held else None


class Challenge(NamedTuple):
    """A round that a custodian has to answer. deposits: that of each sample; due: block ms."""

    round: int
    seed: bytes
    deposits: tuple[int, ...]
    due: int
    answered: bool
    failed: bool

    @property
    def open(self) -> bool:
        """Whether an answer is still taken."""
        return not (self.answered or self.failed)


class Record(NamedTuple):
    """How a custodian has done: rounds drawn, rounds failed, deposits lost, block ms of the last good answer (None:
    none yet), and whether the newest round failed."""

    rounds: int
    failed: int
    lost: int
    last_ok: int | None
    failing: bool


class Rules(NamedTuple):
    """Who may read a chain's documents. readers: kind or "*" to ids; version: 0 before the first."""

    version: int
    readers: Mapping[str, tuple[str, ...]]

    def of_kinds(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Who is named for every one of the kinds, sorted."""
        return tuple(custody_rules.readers_of({kind: list(ids) for kind, ids in self.readers.items()}, list(kinds)))

    def names(self, reader: str) -> bool:
        """Whether anything of the chain may be read by this member or party."""
        return any(reader in ids for ids in self.readers.values())


KNOWN_S: Final = 0.5
"""Who a chain's custodians are takes many reads: it may be known as of so long ago."""
NO_RULES: Final = Rules(0, {})


class Book:
    """Reads of the head; also what the contract's own functions read through (contracts.context.Reads)."""

    def __init__(self, read: Read, height: Callable[[], int]) -> None:
        self._read = read
        self._height = height
        self._known: dict[str, tuple[str, ...]] = {}
        self._known_height = -1
        self._known_since = -KNOWN_S

    @property
    def height(self) -> int:
        """The head's height."""
        return self._height()

    def read(self, _chain: str, contract: str, *key: KeyPart) -> Value:
        """A value of the consortium chain, which has all there is to read here."""
        return self._read(contract, *key)

    def members(self) -> list[str]:
        """Ids of the members, sorted; each has a business chain of its id."""
        return list(self._get("registry", "members") or [])

    def count(self, chain: str) -> int:
        """How many deposits a chain has."""
        return int(self._get("custody", "deposits", chain) or 0)

    def deposit(self, chain: str, number: int) -> DepositRow | None:
        """A deposit, or None where the chain has no such number."""
        row = self._get("custody", "deposit", chain, number)
        if row is None:
            return None
        return DepositRow(number, row["objects"], row["bytes"], row["roots"], row["held"], row["of"])

    def number_of(self, chain: str, deposit: Deposit) -> int | None:
        """The number under which a deposit stands on the chain already, known by its roots."""
        if deposit.roots is None:
            return None
        content = ["tally/deposit", 1, chain, deposit.objects, deposit.size, dict(deposit.roots)]
        found = self._get("custody", "deposit_of", chain, hash_value(content))
        return None if found is None else int(found)

    def custodians(self, chain: str) -> tuple[str, ...]:
        """Who holds what a chain deposits from now on: those it appointed, or else the consortium's default."""
        now = trio.current_time()
        if self.height != self._known_height and now - self._known_since >= KNOWN_S:
            self._known, self._known_height, self._known_since = {}, self.height, now
        if chain not in self._known:
            named = custody_rules.custodians(self, chain) if chain in self.members() else ()
            self._known[chain] = tuple(named)
        return self._known[chain]

    def rules(self, chain: str) -> Rules:
        """The readers of a chain."""
        row = self._get("custody", "readers", chain)
        if row is None:
            return NO_RULES
        return Rules(row["version"], {kind: tuple(ids) for kind, ids in row["rules"].items()})

    def challenge(self, chain: str, custodian: str) -> Challenge | None:
        """The newest challenge to a custodian about a chain."""
        row = self._get("custody", "challenge", chain, custodian)
        if row is None:
            return None
        numbers = tuple(row["deposits"])
        return Challenge(row["round"], row["seed"], numbers, row["due"], row["answered"], row["failed"])

    def record(self, chain: str, custodian: str) -> Record | None:
        """How a custodian has answered about a chain."""
        row = self._get("custody", "record", chain, custodian)
        if row is None:
            return None
        return Record(row["rounds"], row["failed"], row["lost"], row["last_ok"], row["failing"])

    def held_count(self, chain: str, custodian: str) -> int:
        """How many deposits of a chain a custodian says it holds."""
        return int(self._get("custody", "held_count", chain, custodian) or 0)

    def recipients(self, reader: str) -> list[Recipient]:
        """A member's or party's encryption keys that are valid now, sorted; empty where it has none."""
        found = []
        for kind in ("member", "party"):
            found += [Recipient(kind, reader, key) for key in self._keys(kind, reader, "encryption", self.height)]
        return sorted(found)

    def signers(self, chain: str, height: int) -> list[bytes]:
        """The signer keys of a chain's member that were valid at a height."""
        return self._keys("member", chain, "signer", height)

    def _keys(self, kind: str, owner: str, purpose: str, height: int) -> list[bytes]:
        found = []
        for key in self._get("registry", "keys", kind, owner) or []:
            entry = self._get("registry", "key", key)
            ended = entry["until"] is not None and entry["until"] <= height
            if entry["purpose"] == purpose and entry["from"] <= height and not ended:
                found.append(bytes(key))
        return sorted(found)

    def _get(self, contract: str, *key: KeyPart) -> Any:
        return self._read(contract, *key)
