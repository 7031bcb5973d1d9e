"""The owner's own check: does every custodian have every object, now?

For each object of each deposit each custodian shows one chunk that chance picks, with its path to the root that the
chain has for that copy. What is found stands in a report; nothing on the chain depends on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import trio

from chain import merkle
from chain.crypto import HASH_SIZE
from contracts.custody_proofs import CHUNK, chunk_count
from node.custody.book import Book, DepositRow
from node.custody.calls import CallError, WrongAnswerError
from node.custody.errors import CustodyError
from node.custody.messages import Chunks, Prove
from node.custody.puller import Ask, Pace
from node.custody.server import InThread
from node.custody.shelf import ProvedChunk, chosen_chunk
from node.documents import DocumentError
from node.envelope import Manifest
from node.vault import Vault

MOST_PROBLEMS: Final = 20
"""Of one custodian, in the report."""


@dataclass
class Finding:
    """How one custodian did. Counts of deposits and objects."""

    deposits: int = 0
    objects: int = 0
    """That were shown."""
    substitutes: int = 0
    """Deposits of which another custodian's copy is held."""
    missing: int = 0
    """Deposits that it does not hold, or could not show."""
    problems: list[str] = field(default_factory=list)

    def say(self, problem: str) -> None:
        """Count a deposit as missing, and say why."""
        self.missing += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


@dataclass
class Report:
    """A check, while it runs and after. state: none, running, done."""

    state: str = "none"
    deposits: int = 0
    objects: int = 0
    checked: int = 0
    """Deposits gone through so far."""
    not_here: int = 0
    """Own deposits on the chain that are not in this vault: they are being restored."""
    not_deposited: int = 0
    """Deposits of this vault that are not on the chain yet."""
    custodians: dict[str, Finding] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every object is here and at every custodian."""
        found = self.custodians.values()
        whole = not (self.not_here or self.not_deposited) and all(not finding.missing for finding in found)
        return self.state == "done" and whole

    def to_json(self) -> dict[str, Any]:
        """For the API."""
        return {**asdict(self), "complete": self.complete}


class Checker:
    """Checks when asked, one check at a time. ``run`` is its task."""

    def __init__(
        self,
        member: str,
        book: Book,
        vault: Vault,
        ask: Ask,
        in_thread: InThread,
        connected: Callable[[], set[str]],
        pace: Pace,
    ) -> None:
        self._member = member
        self._book = book
        self._vault = vault
        self._ask = ask
        self._in_thread = in_thread
        self._connected = connected
        self._pace = pace
        self._wanted = trio.Event()
        self.report = Report()

    async def run(self) -> None:
        """Check whenever asked, until cancelled."""
        while True:
            await self._wanted.wait()
            await self.check()
            self._wanted = trio.Event()

    def start(self) -> dict[str, Any]:
        """Begin a check unless one runs; what there is to report."""
        if self.report.state != "running":
            self.report = Report("running")
            self._wanted.set()
        return self.report.to_json()

    async def check(self) -> Report:
        """Go through all own deposits at all custodians."""
        report = self.report = Report("running", deposits=self._book.count(self._member))
        custodians = self._book.custodians(self._member)
        report.custodians = {custodian: Finding() for custodian in custodians}
        report.not_deposited = len(await self._in_thread(self._vault.ready))
        for number in range(report.deposits):
            row = self._book.deposit(self._member, number)
            if row is not None:
                report.objects += row.objects
                if await self._in_thread(self._vault.deposit, number) is None:
                    report.not_here += 1
                async with trio.open_nursery() as nursery:
                    for custodian in custodians:
                        nursery.start_soon(self._check_one, custodian, row, report.custodians[custodian])
            report.checked += 1
        report.state = "done"
        return report

    async def _check_one(self, custodian: str, row: DepositRow, finding: Finding) -> None:
        holder = row.held_as(custodian)
        if holder is None:
            finding.say(f"deposit {row.number}: not held yet")
            return
        if custodian not in self._connected():
            finding.say(f"deposit {row.number}: {custodian} is not connected")
            return
        try:
            manifest = await self._in_thread(self._vault.manifest, row.number, holder)
            shown = await self._show(custodian, manifest)
        except (CallError, CustodyError, DocumentError) as error:
            finding.say(f"deposit {row.number}: {error.code} {error}")
            return
        finding.deposits += 1
        finding.objects += shown
        finding.substitutes += holder != custodian

    async def _show(self, custodian: str, manifest: Manifest) -> int:
        """Have a custodian show a chunk of each object; how many that were. Raises CallError."""
        seed, start = os.urandom(HASH_SIZE), 0
        while start < len(manifest.entries):
            request = Prove(self._member, manifest.number, manifest.holder, start, seed)
            await self._pace(CHUNK)
            reply = await self._ask(custodian, request, Chunks)
            wrong = await self._in_thread(first_wrong, manifest, start, seed, reply.rows)
            if wrong is not None:
                raise WrongAnswerError(custodian, "WRONG_PROOF", f"object {wrong} is not what the chain has")
            start += len(reply.rows)
        return start


def first_wrong(manifest: Manifest, start: int, seed: bytes, rows: tuple[ProvedChunk, ...]) -> int | None:
    """The first object from ``start`` on whose chunk does not stand under the root of its copy, or None."""
    for index, (chunk, path) in enumerate(rows, start):
        if index >= len(manifest.entries):
            return index
        entry = manifest.entries[index]
        number, count = chosen_chunk(seed, index, entry.size), chunk_count(entry.size)
        whole = len(chunk) == min(CHUNK, entry.size - number * CHUNK)
        if not whole or not merkle.verify(entry.root, chunk, number, count, list(path)):
            return index
    return None
