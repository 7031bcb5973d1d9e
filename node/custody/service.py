"""Custody of one node: its parts put together, and what the rest of the node sees of them.

Everything here runs in the node's own loop, in small steps: what takes time (sealing, hashing, disk) is done in a few
threads, what is moved goes at the pace that agreement leaves. The API asks through ``Peer.in_loop``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import trio

from chain.crypto import SigningKey
from chain.ledger import Ledger
from node.anchor_ledger import Submit, reader, submit_call
from node.custody.book import Book
from node.custody.calls import Calls, Send
from node.custody.checking import Checker
from node.custody.custodian import Custodian
from node.custody.errors import CustodyError
from node.custody.fetch import Fetcher
from node.custody.keying import Keying
from node.custody.owner import Owner
from node.custody.pace import Newest, Pace, Waits
from node.custody.proving import Prover
from node.custody.puller import Puller
from node.custody.server import Server
from node.custody.shelf import Shelf
from node.custody.submissions import Outcome, Submissions
from node.driver import Log
from node.envelope import KeyList
from node.vault import Vault

THREADS: Final = 2
"""For the duties, and as many for what others ask: at once, at most."""
NO_SIGNER: Final = "keys.signer is not set in node.toml: without it nothing can be said on the chain"
NO_ENCRYPTION_KEY: Final = "keys.encryption is not set in node.toml: without it no document can be kept or opened"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a node gives its custody. send: a frame to a member on the custody channel; connected: who is; committed:
    the event that the next commit sets; newest and waits: see node/custody/pace.py."""

    member: str
    ledger: Ledger
    submit: Submit
    send: Send
    connected: Callable[[], set[str]]
    committed: Callable[[], trio.Event]
    signer: SigningKey | None
    encryption: Sequence[SigningKey]
    vault: Vault
    log: Log
    newest: Newest = lambda: None
    waits: Waits = lambda _tx_id: False
    run_sync: Callable[..., Awaitable[Any]] = trio.to_thread.run_sync
    """Runs a blocking function: (function, *arguments, limiter=…)."""


class Custody:
    """One node's custody. ``run`` is its task; the node's loop calls ``receive`` and ``peer_down``."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._serving = trio.CapacityLimiter(THREADS)
        self._working = trio.CapacityLimiter(THREADS)
        self.book = Book(reader(wiring.ledger), lambda: wiring.ledger.height)
        self._shelf = Shelf(wiring.member, wiring.vault)
        self.server = Server(self.book, self._shelf, self._serve_in_thread, self._keep_keys)
        self._calls = Calls(wiring.send, wiring.connected, self.server.serve)
        self.pace = Pace(wiring.newest, wiring.waits, lambda: wiring.ledger.height)
        self.puller = Puller(self._calls.ask, wiring.vault.copies, self._in_thread, self._keep_keys, self.pace)
        self.fetcher = Fetcher(
            self.book, self._calls.ask, self._in_thread, wiring.encryption, self._check_keys, wiring.member
        )
        self.checker = Checker(
            wiring.member, self.book, wiring.vault, self._calls.ask, self._in_thread, wiring.connected, self.pace
        )
        self.custodian: Custodian | None = None
        self.owner: Owner | None = None
        self._prover: Prover | None = None
        if wiring.signer is not None:
            self._make_duties(wiring.signer)

    def _make_duties(self, signer: SigningKey) -> None:
        wiring, book, vault = self._wiring, self.book, self._wiring.vault

        def submissions() -> Submissions:
            return Submissions(lambda method, args: self._submit(signer, method, args), self._look, wiring.log)

        self.custodian = Custodian(
            wiring.member,
            book,
            vault.copies,
            self._shelf,
            self.puller,
            submissions(),
            self._in_thread,
            wiring.connected,
            wiring.log,
        )
        self._prover = Prover(
            wiring.member, book, vault.copies, self.custodian, submissions(), self._in_thread, wiring.log
        )
        if not wiring.encryption:
            return
        keying = Keying(
            wiring.member,
            wiring.ledger.network_id,
            book,
            vault,
            signer,
            self._calls.ask,
            self._in_thread,
            wiring.connected,
            wiring.log,
        )
        self.owner = Owner(
            wiring.member,
            book,
            vault,
            wiring.encryption,
            keying,
            self.puller,
            submissions(),
            self._in_thread,
            wiring.connected,
            wiring.log,
        )

    # -- what the node's loop calls ---------------------------------------------------------------------

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Serve, and do the duties that this node's keys allow, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._calls.run)
            nursery.start_soon(self.pace.run)
            nursery.start_soon(self.checker.run)
            nursery.start_soon(self._follow)
            for duty in (self.custodian, self._prover, self.owner):
                if duty is not None:
                    nursery.start_soon(duty.run)
            for reason in self.no_part():
                self._wiring.log.warning("takes no part in custody", reason=reason)
            task_status.started()

    def receive(self, member: str, frame: bytes) -> None:
        """A frame of the custody channel. Raises MessageError."""
        self._calls.receive(member, frame)

    def peer_down(self, member: str) -> None:
        """A link broke."""
        self._calls.forget(member)
        if self.owner is not None:
            self.owner.forget(member)

    # -- what the API calls -----------------------------------------------------------------------------

    async def fetch(self, chain: str, name: bytes) -> bytes:
        """A document of another member's chain, opened with this node's encryption key. Raises CustodyError."""
        return await self.fetcher.fetch(chain, name)

    def no_part(self) -> list[str]:
        """Why this node takes no part, or only some; empty where it takes all."""
        reasons = []
        if self._wiring.signer is None:
            reasons.append(NO_SIGNER)
        if not self._wiring.encryption:
            reasons.append(NO_ENCRYPTION_KEY)
        return reasons

    def status(self) -> dict[str, Any]:
        """How custody stands, for `tally custody status`."""
        owner, custodian = self.owner, self.custodian
        return {
            "member": self._wiring.member,
            "no_part": self.no_part(),
            "owner": None if owner is None else owner.status(),
            "custodian": None if custodian is None else custodian.status(),
            "bytes_in": self.puller.bytes_in,
            "bytes_out": self.server.bytes_out,
            "refused": self.server.refused,
            "loop_late_ms": round(self.pace.late_s * 1000, 1),
            "held_back": self.pace.slow,
        }

    # -- inside -----------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Each commit may give the duties something to do."""
        while True:
            await self._wiring.committed().wait()
            for duty in (self.custodian, self.owner):
                if duty is not None:
                    duty.wake()

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        found: T = await self._wiring.run_sync(function, *args, limiter=self._working)
        return found

    async def _serve_in_thread(self, function: Callable[..., T], *args: Any) -> T:
        found: T = await self._wiring.run_sync(function, *args, limiter=self._serving)
        return found

    def _submit(self, signer: SigningKey, method: str, arguments: dict[str, Any]) -> bytes:
        return submit_call(self._wiring.ledger, self._wiring.submit, signer, "custody", method, arguments)

    def _look(self, tx_id: bytes) -> Outcome | None:
        place = self._wiring.ledger.locate(tx_id)
        if place is None:
            return None
        receipt = self._wiring.ledger.receipt(place)
        if receipt.status == 0:
            return Outcome("", "")
        return Outcome(receipt.code, receipt.message)

    async def _check_keys(self, chain: str, number: int, keys: KeyList) -> None:
        """That a key list is the deposit's, signed by its owner. Raises CustodyError, EnvelopeError."""
        if (keys.chain, keys.number) != (chain, number):
            raise CustodyError("WRONG_KEY_LIST", f"this is not the key list of deposit {number} of {chain}: not used")
        signers = self.book.signers(chain, min(keys.version, self.book.height))
        await self._in_thread(keys.check, self._wiring.ledger.network_id, signers)

    async def _keep_keys(self, chain: str, number: int, keys: KeyList) -> None:
        """Check a key list, and keep it unless a newer one is here. Raises CustodyError, EnvelopeError."""
        await self._check_keys(chain, number, keys)
        data = keys.encode()
        await self._in_thread(self._wiring.vault.copies.put_keys, chain, number, keys.version, data)
