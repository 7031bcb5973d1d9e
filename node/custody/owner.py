"""What a node does for its own member's documents: deposits them, keys them to the readers, makes copies for whoever
became a custodian, and takes everything back when its own store is lost.

Nothing is remembered but what vault and chain say: each pass looks at both and does the next thing. A deposit whose
transaction got there before the node was killed is known by its roots on the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import trio

from chain.crypto import SigningKey
from node.custody.book import Book, DepositRow
from node.custody.calls import CallError
from node.custody.errors import CustodyError
from node.custody.keying import Keying
from node.custody.puller import Puller, wanted_of
from node.custody.server import InThread
from node.custody.submissions import Submissions
from node.documents import DocumentError
from node.driver import Log
from node.envelope import DepositSecret, EnvelopeError, KeyList
from node.vault import Deposit, Vault

LOOK_S: Final = 0.25
AT_ONCE: Final = 4
"""Deposits on their way to the chain at once."""
RETRY_S: Final = 2.0
COPIES_A_PASS: Final = 8
"""Older deposits that get copies for new custodians in one transaction."""

PUT_OFF_S: Final = 10.0
"""How long a deposit is left alone that has a document which cannot be read."""
UNREADABLE: Final = ("DOCUMENT_MISSING", "DOCUMENT_DAMAGED")

FAILURES: Final = (DocumentError, EnvelopeError, CustodyError)
"""What keeps a step from being done now; a later pass tries again."""


class Owner:
    """One node's owner duty. ``run`` is its task."""

    def __init__(
        self,
        member: str,
        book: Book,
        vault: Vault,
        keys: Sequence[SigningKey],
        keying: Keying,
        puller: Puller,
        submissions: Submissions,
        in_thread: InThread,
        connected: Callable[[], set[str]],
        log: Log,
    ) -> None:
        self._member = member
        self._book = book
        self._vault = vault
        self._keys = tuple(keys)
        self._keying = keying
        self._puller = puller
        self._submissions = submissions
        self._in_thread = in_thread
        self._connected = connected
        self._log = log
        self._missing: dict[int, None] = {}
        """Own deposits on the chain that are not in the vault, nor waiting in it for their number."""
        self._broken: set[int] = set()
        """Of these, those that are in the vault, but damaged."""
        self._put_off: dict[bytes, tuple[float, str]] = {}
        """Until when a deposit is left alone, and why, by its local id."""
        self._looked = 0
        self._reading: list[int] | None = None
        """Deposits whose documents are still to be read again, None where nobody asked for that."""
        self._topped_up: tuple[tuple[str, ...], int] = ((), 0)
        """For which custodians older deposits have roots, below which number."""
        self._top_up_at = 0.0
        """Not before then: what was skipped is not looked for at every pass."""
        self.changed = trio.Event()
        self.waiting = 0
        """Closed deposits that have no number yet."""
        self.restored = 0
        self.problem = ""
        """Why the newest step failed, "" after a success."""

    async def run(self) -> None:
        """Do the duty until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._restore_all)
            nursery.start_soon(self._keying.run)
            while True:
                try:
                    await self.step()
                except FAILURES as error:
                    self._say(error)
                    await trio.sleep(RETRY_S)
                await self._until_changed()

    def wake(self) -> None:
        """A block was committed, or documents came in."""
        self.changed.set()
        self.changed = trio.Event()

    async def step(self) -> None:
        """One pass. Raises what FAILURES names."""
        self._submissions.settle()
        count = self._book.count(self._member)
        waiting = []
        for deposit in await self._in_thread(self._vault.ready):
            number = self._book.number_of(self._member, deposit)
            if number is None:
                waiting.append(deposit)
            else:
                await self._number(deposit, number)
        self.waiting = len(waiting)
        await self._deposit_some(waiting)
        await self._look_for_missing(count)
        await self._read_again()
        await self._top_up()

    # -- new deposits -----------------------------------------------------------------------------------

    async def _number(self, deposit: Deposit, number: int) -> None:
        """The deposit is on the chain: note its number, and key it, so that custodians can take it."""
        await self._in_thread(self._vault.numbered, deposit.id, number)
        await self._keying.key(number)
        self._missing.pop(number, None)
        self.problem = ""

    async def _deposit_some(self, waiting: Sequence[Deposit]) -> None:
        """Submit deposits; one with a document that cannot be read now does not keep the others waiting."""
        now = trio.current_time()
        self._put_off = {identity: row for identity, row in self._put_off.items() if row[0] > now}
        for deposit in [each for each in waiting if each.id not in self._put_off][:AT_ONCE]:
            try:
                await self._deposit(deposit)
            except DocumentError as error:
                if error.code not in UNREADABLE:
                    raise
                self._put_off[deposit.id] = (now + PUT_OFF_S, f"{error.code} {error}")
                self._say(error)

    async def _deposit(self, deposit: Deposit) -> None:
        """Submit a deposit, with the roots of its copies; they are kept before it is sent."""
        key = ("deposit", deposit.id)
        if not self._submissions.free(key):
            return
        custodians = self._book.custodians(self._member)
        if not custodians:
            raise CustodyError("NO_CUSTODIANS", "nobody keeps this chain's documents: `tally custody appoint`")
        made = await self._in_thread(self._vault.roots, deposit.id, custodians)
        if made.roots is None or self._book.number_of(self._member, made) is not None:
            return  # it got there in an earlier life of this node: the next pass numbers it
        self._submissions.send(
            "deposit", {"objects": made.objects, "bytes": made.size, "roots": dict(made.roots)}, [key]
        )

    # -- copies for custodians that came later ----------------------------------------------------------

    async def _top_up(self) -> None:
        """Give older deposits roots for custodians that were appointed since."""
        custodians = self._book.custodians(self._member)
        known, below = self._topped_up
        start = below if known == custodians else 0
        if trio.current_time() < self._top_up_at or not self._submissions.free(("add_copies",)):
            return
        rows: list[list[Any]] = []
        skipped = False
        for number in range(start, self._book.count(self._member)):
            row = self._book.deposit(self._member, number)
            lacking = [] if row is None else [custodian for custodian in custodians if custodian not in row.roots]
            if row is not None and lacking:
                added = await self._further_roots(number, [*row.roots, *lacking])
                if added is None:
                    skipped = True
                else:
                    rows.append([number, {custodian: added[custodian] for custodian in lacking}])
            if not rows and not skipped:
                self._topped_up = (custodians, number + 1)  # the next pass begins at the first that lacked something
            if len(rows) == COPIES_A_PASS:
                break
            if number % 64 == 63:
                await trio.lowlevel.checkpoint()
        if rows:
            self._submissions.send("add_copies", {"copies": rows}, [("add_copies",)])
        elif skipped:
            self._top_up_at = trio.current_time() + PUT_OFF_S

    async def _further_roots(self, number: int, custodians: Iterable[str]) -> Mapping[str, bytes] | None:
        """Roots of an older deposit's copies, None where it is not here whole: then it is restored first."""
        if number in self._missing:
            return None
        deposit = await self._in_thread(self._vault.deposit, number)
        if deposit is None:
            return None
        try:
            return (await self._in_thread(self._vault.roots, deposit.id, sorted(set(custodians)))).roots
        except DocumentError as error:
            if error.code not in UNREADABLE:
                raise
            self._missing[number] = None
            self._broken.add(number)
            return None

    # -- coming back from nothing -----------------------------------------------------------------------

    async def _look_for_missing(self, count: int) -> None:
        """Find own deposits that the vault does not have, of the first ``count``: each that it has is numbered."""
        if self._looked >= count:
            return
        wanted = range(self._looked, count)
        for number in await self._in_thread(_unknown, self._vault, wanted):
            if not await self._recognised(number):
                self._missing[number] = None
        self._looked = count
        if self._missing:
            self._log.warning("documents to be restored from custodians", deposits=len(self._missing))

    async def _recognised(self, number: int) -> bool:
        """Whether a deposit is here after all: its roots were forgotten, but it has them."""
        row = self._book.deposit(self._member, number)
        if row is None or not row.roots:
            return False
        found = await self._in_thread(self._vault.recognise, number, row.objects, row.size, row.roots)
        if found is not None:
            await self._keying.key(number)
        return found is not None

    def forget(self, member: str) -> None:
        """The link to a member broke."""
        self._keying.forget(member)

    def status(self) -> dict[str, Any]:
        """Own documents: deposits on the chain, on their way there, to be restored; and who holds what."""
        count = self._book.count(self._member)
        custodians = self._book.custodians(self._member)
        return {
            "deposits": count,
            "waiting": self.waiting,
            "to_read": 0 if self._reading is None else max(1, len(self._reading)),
            "to_restore": len(self._missing),
            "restored": self.restored,
            "custodians": {custodian: self._custodian_status(custodian) for custodian in custodians},
            "readers": {kind: list(ids) for kind, ids in self._book.rules(self._member).readers.items()},
            "problem": self.problem or self._unreadable or self._submissions.problem or self._keying.problem,
        }

    @property
    def _unreadable(self) -> str:
        return next((reason for _, reason in self._put_off.values()), "")

    def _custodian_status(self, custodian: str) -> dict[str, Any]:
        record = self._book.record(self._member, custodian)
        return {
            "held": self._book.held_count(self._member, custodian),
            "connected": custodian in self._connected(),
            "challenges": None if record is None else record._asdict(),
        }

    def look_again(self) -> None:
        """Look for missing deposits from the first one on, and read the documents of all others."""
        self._looked, self._reading = 0, []
        self.wake()

    async def _read_again(self) -> None:
        """Read a few deposits' documents, where that was asked for: what is damaged is taken back too."""
        if self._reading is None:
            return
        if not self._reading:
            self._reading = await self._in_thread(self._vault.numbers)
        for number in self._reading[:AT_ONCE]:
            if await self._in_thread(is_damaged, self._vault, number):
                self._missing[number] = None
                self._broken.add(number)
        self._reading = self._reading[AT_ONCE:] or None

    @property
    def missing(self) -> list[int]:
        """Own deposits that are still to be restored."""
        return list(self._missing)

    async def _restore_all(self) -> None:
        while True:
            for number in list(self._missing):
                try:
                    if await self.restore(number):
                        self._missing.pop(number, None)
                        self.restored += 1
                except FAILURES as error:
                    self._say(error)
            if self._missing:
                await trio.sleep(RETRY_S)
            await self._until_changed()

    async def restore(self, number: int) -> bool:
        """Take one own deposit back from whoever holds it; whether it is back. Raises what FAILURES names."""
        row = self._book.deposit(self._member, number)
        if row is None:
            return True
        if number not in self._broken and await self._in_thread(self._vault.deposit, number) is not None:
            return True
        refusal: Exception | None = None
        for custodian in sorted(row.held):
            holder = row.held_as(custodian)
            if custodian not in self._connected() or holder is None:
                continue
            try:
                await self._puller.pull_keys(custodian, self._member, number)
                await self._in_thread(self._secret, number)  # before any copy is moved: one list may be too old
                manifest = await self._puller.pull(custodian, wanted_of(self._member, row, holder))
                await self._in_thread(self._recover, row, manifest.holder)
            except (CallError, CustodyError, EnvelopeError) as error:
                self._say(error)
                refusal = error if isinstance(error, CustodyError) else refusal
                continue
            except DocumentError as error:
                if error.code not in UNREADABLE and error.code != "WRONG_HASH":
                    raise  # it is this node's store
                self._say(error)
                continue
            self._broken.discard(number)
            await self._keying.key(number)
            self.problem = ""
            self._log.info("deposit restored", deposit=number, documents=row.objects, custodian=custodian)
            return True
        if refusal is not None:
            raise refusal
        return False

    def _secret(self, number: int) -> DepositSecret:
        """In a thread: what opens a deposit, from the newest key list that came. Raises CustodyError NO_KEY."""
        data = self._vault.copies.keys(self._member, number)
        secret = None if data is None else KeyList.decode(data).secret(self._keys)
        if secret is None:
            raise CustodyError(
                "NO_KEY", f"none of this node's encryption keys opens deposit {number}: add the one it was keyed to"
            )
        return secret

    def _recover(self, row: DepositRow, holder: str) -> None:
        """In a thread: open the copies and keep the documents again."""
        copies, chain, number = self._vault.copies, self._member, row.number
        manifest, secret = copies.manifest(chain, number, holder), self._secret(number)
        if manifest is None:
            raise CustodyError("NOT_HELD", f"the copies of deposit {number} went again: they are taken once more")

        def copy(index: int) -> bytes:
            return copies.read(chain, number, holder, index, 0, manifest.entries[index].size)

        self._vault.recover(manifest, secret, row.roots, copy)
        copies.delete(chain, number, holder)

    def _say(self, error: Exception) -> None:
        said = f"{getattr(error, 'code', 'FAILED')} {error}"
        if said != self.problem:
            self._log.warning("documents not in custody yet", reason=said)
        self.problem = said

    async def _until_changed(self) -> None:
        with trio.move_on_after(LOOK_S):
            await self.changed.wait()
        await trio.lowlevel.checkpoint()


def _unknown(vault: Vault, numbers: Iterable[int]) -> list[int]:
    """Those that the vault has no deposit of."""
    return [number for number in numbers if vault.deposit(number) is None]


def is_damaged(vault: Vault, number: int) -> bool:
    """Whether a document of a deposit cannot be read here. Raises DocumentError STORE_FAILED."""
    deposit = vault.deposit(number)
    if deposit is None or not deposit.roots:
        return False
    for entry in vault.manifest(number, min(deposit.roots)).entries:
        try:
            vault.get(entry.name)
        except DocumentError as error:
            if error.code not in ("DOCUMENT_MISSING", "DOCUMENT_DAMAGED"):
                raise
            return True
    return False
