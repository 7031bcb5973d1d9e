"""Members with custody in one process: real ledger, vaults and contracts, an in-memory wire, a clock that jumps.

Blocking work runs inline, so that a run is the same each time; a node is killed by cancelling it where it stands and
opened again from its folders.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
import trio.testing

from chain.crypto import SigningKey
from chain.transaction import Transaction, parse
from node.custody.service import Custody, Wiring
from node.driver import wall_clock
from node.mempool import Admission
from node.vault import Vault
from tests.chain.chain_builder import Consortium, document_of, key_of

LABEL = "custody"
MEMBERS = ("erp", "guarantor", "lender", "office", "procurement")
BLOCK_S = 0.1
BLOCK_MS = 100


class Quiet:
    """A log that keeps its warnings."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    warning = error = info

    def find(self, text: str) -> list[tuple[str, dict[str, Any]]]:
        """Lines that say something."""
        return [line for line in self.lines if text in f"{line[0]} {line[1]}"]


async def inline(function: Callable[..., Any], *args: Any, **_options: object) -> Any:
    """A thread's work, here."""
    await trio.lowlevel.checkpoint()
    return function(*args)


@dataclass
class Member:
    """One member's node."""

    name: str
    folder: Path
    vault: Vault
    custody: Custody
    log: Quiet
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    inbox: trio.MemorySendChannel[tuple[str, bytes]] | None = None


Tap = Callable[[str, str, bytes], bytes | None]
"""(from, to, frame) to the frame that arrives, or None for none."""


class World:
    """A consortium. Without ``start`` nobody runs; ``requests`` counts frames by (from, to)."""

    def __init__(self, folder: Path, **parameters: int) -> None:
        document = document_of(LABEL, **parameters)
        document["time"] = wall_clock()
        for member in document["members"]:
            member["encryption"] = key_of(LABEL, member["id"], "encryption").public
        self.consortium = Consortium(LABEL, document=document)
        self.folder = folder
        self.members: dict[str, Member] = {}
        self.tap: Tap = lambda _source, _target, frame: frame
        self.frames: dict[tuple[str, str], int] = {}
        self._pool: list[Transaction] = []
        self._committed = trio.Event()
        self._nursery: trio.Nursery | None = None

    @property
    def book(self) -> Any:
        """What the chain says, through anybody's eyes."""
        return next(iter(self.members.values())).custody.book

    def open(
        self, name: str, *, signer: bool = True, encryption: bool = True, keys: Sequence[SigningKey] = ()
    ) -> Member:
        """A member's node, opened from its folders. keys: encryption keys that it has instead of its first."""
        folder = self.folder / name
        keys = keys or ([key_of(LABEL, name, "encryption")] if encryption else [])
        log = Quiet()
        vault = Vault.open(str(folder / "documents"), folder / "vault", keys, member=name, clock=lambda: now())
        custody = Custody(
            Wiring(
                member=name,
                ledger=self.consortium.ledger,
                submit=self.submit,
                send=lambda target, frame: self._send(name, target, frame),
                connected=lambda: self.members.keys() - {name},
                committed=lambda: self._committed,
                signer=self.consortium.signer(name) if signer else None,
                encryption=keys,
                vault=vault,
                log=log,
                run_sync=inline,
            )
        )
        return Member(name, folder, vault, custody, log)

    async def start(self, *names: str, **options: Any) -> None:
        """Run these members' nodes (all without names)."""
        assert self._nursery is not None
        for name in names or MEMBERS:
            member = self.members[name] = self.open(name, **options)
            member.inbox, arriving = trio.open_memory_channel[tuple[str, bytes]](1000)
            await self._nursery.start(self._run_member, member, arriving)

    async def kill(self, name: str) -> None:
        """Stop a node where it stands."""
        member = self.members.pop(name)
        member.scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        member.vault.close()
        for other in self.members.values():
            other.custody.peer_down(name)

    def wipe(self, name: str) -> None:
        """Delete everything a stopped node kept."""
        shutil.rmtree(self.folder / name)

    async def call(self, member: str, method: str, **args: Any) -> None:
        """A transaction of a member, in a block when this returns; it must succeed."""
        made = self.consortium.call(member, method, **args)
        assert self.submit(made.wire).state == "accepted"
        await self.until(lambda: self.consortium.ledger.locate(made.id) is not None, method)
        place = self.consortium.ledger.locate(made.id)
        assert place is not None
        receipt = self.consortium.ledger.receipt(place)
        assert receipt.status == 0, receipt.message

    def submit(self, wire: bytes) -> Admission:
        """As ``Peer.submit``."""
        made = parse(wire)
        self._pool.append(made)
        return Admission(made.id, "accepted", "", "")

    async def until(self, condition: Callable[[], bool], what: str, within_s: float = 120.0) -> float:
        """Let time pass until true; seconds that took."""
        began = trio.current_time()
        while not condition():
            assert trio.current_time() - began < within_s, f"not within {within_s:g} s: {what}"
            await trio.sleep(BLOCK_S / 2)
        return trio.current_time() - began

    async def until_async(self, condition: Callable[[], Awaitable[bool]], what: str, within_s: float = 60.0) -> None:
        """As ``until``, for a condition that has to ask."""
        began = trio.current_time()
        while not await condition():
            assert trio.current_time() - began < within_s, f"not within {within_s:g} s: {what}"
            await trio.sleep(BLOCK_S)

    def seal(self) -> None:
        """A block of what waits, now."""
        pool, self._pool = self._pool, []
        self.consortium.seal(*pool, time=self.consortium.now + BLOCK_MS)
        self._committed.set()
        self._committed = trio.Event()

    def held(self, chain: str, number: int) -> dict[str, str]:
        """Custodian to whose copy it says it holds."""
        row = self.book.deposit(chain, number)
        return {} if row is None else {name: row.held_as(name) for name in row.held}

    def complete(self, chain: str, deposits: int = 1) -> bool:
        """Whether every custodian holds its own copy of every deposit."""
        custodians = self.book.custodians(chain)
        own = {name: name for name in custodians}
        return self.book.count(chain) >= deposits and all(
            own.items() <= self.held(chain, number).items() for number in range(self.book.count(chain))
        )

    # -- inside -----------------------------------------------------------------------------------------

    async def _run(self, test: Callable[[World], Awaitable[None]]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._blocks)
                await test(self)
                nursery.cancel_scope.cancel()
        finally:
            for member in self.members.values():
                member.vault.close()

    async def _run_member(self, member: Member, arriving: Any, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        with member.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(member.custody.run)
                task_status.started()
                async for source, frame in arriving:
                    member.custody.receive(source, frame)

    def _send(self, source: str, target: str, frame: bytes) -> bool:
        self.frames[source, target] = self.frames.get((source, target), 0) + 1
        arrived = self.tap(source, target, frame)
        member = self.members.get(target)
        if member is None or member.inbox is None or source not in self.members:
            return False
        if arrived is not None:
            member.inbox.send_nowait((source, arrived))
        return True

    async def _blocks(self) -> None:
        while True:
            await trio.sleep(BLOCK_S)
            self.seal()


def now() -> float:
    """Seconds of the jumping clock, also where no loop runs."""
    try:
        return trio.current_time()
    except RuntimeError:
        return 0.0


def play(folder: Path, test: Callable[[World], Awaitable[None]], **parameters: int) -> None:
    """Run a test in a world of its own, as fast as it goes."""
    world = World(folder, **parameters)
    trio.run(world._run, test, clock=trio.testing.MockClock(autojump_threshold=0))


def key(member: str, purpose: str) -> SigningKey:
    """A member's key."""
    return key_of(LABEL, member, purpose)
