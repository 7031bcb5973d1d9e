"""Who may open a member's deposits: key lists made, kept new as readers and keys change, and brought to custodians.

A deposit is keyed to the readers that the rules name for every kind in it and to the owner's own keys, in boxes of
their newest encryption keys. When rules or keys change, lists are made anew and replace those that custodians hold;
copies and chain stay as they are. Which list a custodian has is asked, not remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio

from chain.crypto import SigningKey
from node.custody.book import Book
from node.custody.calls import CallError
from node.custody.errors import CustodyError
from node.custody.messages import Done, GetVersions, PutKeys, Versions
from node.custody.puller import Ask
from node.custody.server import InThread
from node.documents import DocumentError
from node.driver import Log
from node.envelope import DepositSecret, EnvelopeError, KeyList, Recipient, make_key_list, seal_to
from node.vault import Copies, Deposit, Vault

LOOK_S: Final = 0.5
ASK_AGAIN_S: Final = 300.0
"""A custodian is asked for its versions after this, whatever is believed of it."""
BETWEEN_S: Final = 10.0
"""And meanwhile, where a change of readers or keys makes very many lists anew, after this."""
RETRY_S: Final = 2.0
FAILURES: Final = (DocumentError, EnvelopeError)
"""Why a list cannot be made or read now."""


class Keying:
    """One member's key lists. ``run`` is its task."""

    def __init__(
        self,
        member: str,
        network_id: bytes,
        book: Book,
        vault: Vault,
        signer: SigningKey,
        ask: Ask,
        in_thread: InThread,
        connected: Callable[[], set[str]],
        log: Log,
    ) -> None:
        self._member = member
        self._network_id = network_id
        self._book = book
        self._vault = vault
        self._signer = signer
        self._ask = ask
        self._in_thread = in_thread
        self._connected = connected
        self._log = log
        self._rules: Any = None
        """What the lists were last brought up to: rules, and the keys of all they name."""
        self._due: dict[int, None] = {}
        """Deposits whose lists may not be as they should be."""
        self._one = trio.Lock()
        self._renewing = False
        self._asking: set[str] = set()
        self._brought: dict[str, tuple[float, int]] = {}
        """Custodian: until when it is left alone, and the count of remade lists it was brought up to."""
        self._remade = 0
        self._made = trio.Event()
        """Set and replaced when a list was made."""
        self._weak: dict[bytes, bool] = {}
        self.problem = ""

    async def run(self) -> None:
        """Keep lists new and custodians supplied, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._renew_always)
            while True:
                for custodian in self._custodians():
                    if custodian not in self._asking:  # each in its own time: none waits for a slow one
                        self._asking.add(custodian)
                        nursery.start_soon(self._bring, custodian)
                with trio.move_on_after(LOOK_S):
                    await self._made.wait()

    async def _renew_always(self) -> None:
        while True:
            try:
                await self.renew()
            except FAILURES as error:
                self._say(f"{error.code} {error}")
                await trio.sleep(RETRY_S)
            await trio.sleep(LOOK_S)

    async def renew(self) -> None:
        """Where rules or keys changed: make the lists anew that are not as they should be. One that cannot be made
        now does not keep the others from it. Raises DocumentError, EnvelopeError: call it again."""
        now = self._situation()
        if now != self._rules:
            own = [recipient.key for recipient in self._book.recipients(self._member)]
            await self._in_thread(self._vault.rewrap, [key for key in own if self._takes(key)])
            numbers = await self._in_thread(self._vault.numbers)
            self._due.update(dict.fromkeys(numbers))
            self._rules = now
        failure: DocumentError | EnvelopeError | None = None
        self._renewing = bool(self._due)
        for number in list(self._due):
            try:
                await self.key(number)
            except FAILURES as error:
                failure = failure or error
        self._renewing = False
        if failure is not None:
            raise failure

    async def key(self, number: int) -> None:
        """Make the key list of a deposit unless it is as it should be; tried again by `renew` where that failed.

        Raises DocumentError, EnvelopeError.
        """
        self._due[number] = None
        async with self._one:  # or a list to the readers of before could come last
            deposit = await self._in_thread(self._vault.deposit, number)
            if deposit is not None:
                readers, height = self._readers(deposit), self._book.height
                signers = self._book.signers(self._member, height)
                made = await self._in_thread(self._make, number, deposit.secret, readers, height, signers)
                if made:
                    self._remade += 1
                    self._made.set()
                    self._made = trio.Event()
            self._due.pop(number, None)

    def _make(
        self, number: int, secret: DepositSecret, readers: list[Recipient], height: int, signers: list[bytes]
    ) -> bool:
        """In a thread: whether a new list had to be made. signers: the member's keys that may sign it now."""
        copies = self._vault.copies
        held = _held(copies, self._member, number)
        version = height
        singles: list[tuple[bytes, Recipient]] = []
        if held is not None:
            same = [tuple(row[:3]) for row in held.rows] == [tuple(row) for row in readers]
            if same and held.signer in signers:
                return False
            version = max(height, held.version + 1)
            singles = [(row.name, Recipient(row.kind, row.id, row.key)) for row in held.objects]
        made = make_key_list(self._network_id, self._member, number, version, secret, readers, self._signer, singles)
        copies.put_keys(self._member, number, version, made.encode())
        return True

    def _readers(self, deposit: Deposit) -> list[Recipient]:
        """Whom a deposit is keyed to: its owner first. A key that nothing can be sealed to is passed over."""
        named = self._book.rules(self._member).of_kinds(deposit.secret.kinds)
        found = [self._book.recipients(reader) for reader in (self._member, *named)]
        return [recipient for listed in found for recipient in listed if self._takes(recipient.key)]

    def _takes(self, key: bytes) -> bool:
        if key not in self._weak:
            try:
                seal_to(key, b"")
                self._weak[key] = False
            except EnvelopeError:
                self._weak[key] = True
        return not self._weak[key]

    def _situation(self) -> Any:
        rules = self._book.rules(self._member)
        named = sorted({self._member}.union(*rules.readers.values()))
        return rules, [self._book.recipients(reader) for reader in named], self._signer.public

    # -- to the custodians ------------------------------------------------------------------------------

    def _custodians(self) -> list[str]:
        connected = self._connected()
        return [name for name in self._book.custodians(self._member) if name in connected and name != self._member]

    async def _bring(self, custodian: str) -> None:
        """Ask which versions a custodian has, and send it the lists that are newer here."""
        try:
            until, remade = self._brought.get(custodian, (0.0, -1))
            if trio.current_time() < until and (remade == self._remade or self._renewing):
                return
            begun = self._remade
            try:
                await self._bring_all(custodian)
            except (CallError, CustodyError, *FAILURES) as error:
                self._say(f"{error.code} {error}")
                self._brought[custodian] = (trio.current_time() + RETRY_S, self._remade)
                return
            pause = BETWEEN_S if self._renewing else ASK_AGAIN_S
            self._brought[custodian] = (trio.current_time() + pause, begun)
            if not self._due:
                self.problem = ""
        finally:
            self._asking.discard(custodian)

    async def _bring_all(self, custodian: str) -> None:
        """Raises CallError, CustodyError, DocumentError, EnvelopeError."""
        start = 0
        while start >= 0:
            answer = await self._ask(custodian, GetVersions(self._member, start), Versions)
            for number, version in answer.rows:
                data = await self._in_thread(self._newer, number, version)
                if data is not None:
                    await self._ask(custodian, PutKeys(self._member, number, data), Done)
            if answer.next != -1 and answer.next <= start:
                break
            start = answer.next

    def forget(self, member: str) -> None:
        """The link to a member broke: it is asked again when it is back."""
        self._brought.pop(member, None)

    def _newer(self, number: int, version: int) -> bytes | None:
        held = _held(self._vault.copies, self._member, number)
        return held.encode() if held is not None and held.version > version else None

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self._log.warning("key lists not everywhere yet", reason=problem)
        self.problem = problem


def _held(copies: Copies, member: str, number: int) -> KeyList | None:
    """The member's own list of a deposit; one that is damaged is as none: it is made anew."""
    data = copies.keys(member, number)
    try:
        return None if data is None else KeyList.decode(data)
    except EnvelopeError:
        return None
