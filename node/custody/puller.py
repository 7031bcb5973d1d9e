"""Takes the copies of one deposit from one source: resumable, checked object by object, a few pieces under way.

The source may be anybody and may lie: the manifest must have the root that stands on the chain, every object the
root that stands in the manifest, and the key list the owner's signature. What was taken stays, so that the next pull,
after any kill and from any source, goes on at the byte where this one ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, TypeVar

import trio

from node.custody.book import DepositRow
from node.custody.calls import CallError, WrongAnswerError
from node.custody.errors import CustodyError
from node.custody.messages import MAX_PIECE, GetKeys, GetManifest, GetPiece, Keys, Listing, Piece, Request
from node.custody.server import InThread
from node.documents import MAX_DOCUMENT, DocumentError
from node.envelope import Entry, EnvelopeError, KeyList, Manifest
from node.vault import Copies, Incoming

WINDOW: Final = 4
"""Pieces asked for and not yet stored, of one pull."""
MAX_DEPOSIT: Final = MAX_DOCUMENT + 32 * 1024 * 1024
"""Bytes of one deposit that a custodian takes: its owner closes it long before."""
LIES: Final = frozenset({"WRONG_HASH", "WRONG_SIZE", "WRONG_PLACE"})
"""What the vault says of bytes that are not what the manifest promised."""

ReplyT = TypeVar("ReplyT")


class Ask(Protocol):
    """``node.custody.calls.Calls.ask``."""

    async def __call__(self, member: str, request: Request, expected: type[ReplyT]) -> ReplyT:
        """The reply, or CallError."""


Pace: TypeAlias = Callable[[int], Awaitable[None]]
"""Waits until so many bytes more may be moved: agreement comes first."""
KeysArrived: TypeAlias = Callable[[str, int, KeyList], Awaitable[None]]
Count: TypeAlias = Callable[[int], None]


def _uncounted(_bytes: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which copies: ``holder``'s of a deposit, as the chain has them: their root, number and bytes."""

    chain: str
    number: int
    holder: str
    root: bytes
    objects: int
    size: int


def wanted_of(chain: str, row: DepositRow, holder: str) -> Wanted:
    """The copies of a holder that has a root in the deposit."""
    return Wanted(chain, row.number, holder, row.roots[holder], row.objects, row.size)


@dataclass
class _Slot:
    """A piece under way."""

    index: int
    offset: int
    length: int
    arrived: trio.Event = field(default_factory=trio.Event)
    data: bytes = b""
    error: CallError | None = None


class Puller:
    """Pulls deposits into the copies of this node."""

    def __init__(self, ask: Ask, copies: Copies, in_thread: InThread, keys_arrived: KeysArrived, pace: Pace) -> None:
        self._ask = ask
        self._copies = copies
        self._in_thread = in_thread
        self._keys_arrived = keys_arrived
        self._pace = pace
        self.bytes_in = 0
        """Bytes of copies taken since the start."""

    async def pull(self, source: str, wanted: Wanted, count: Count = _uncounted) -> Manifest:
        """Take a deposit whole; durable when this returns, its key list too. count: told of bytes that were stored.

        Raises CallError (the source: none, refused, lied), DocumentError (the store here: STORE_FULL, STORE_FAILED).
        """
        manifest = await self._manifest(source, wanted)
        await self.pull_keys(source, wanted.chain, wanted.number)
        incoming = await self._in_thread(self._copies.incoming, manifest)
        await self._take(source, wanted, incoming, count)
        await self._in_thread(incoming.finish)
        return manifest

    async def pull_keys(self, source: str, chain: str, number: int) -> None:
        """Take the source's key list of a deposit. Raises CallError, DocumentError."""
        reply = await self._ask(source, GetKeys(chain, number), Keys)
        try:
            await self._keys_arrived(chain, number, await self._in_thread(KeyList.decode, reply.keys))
        except (CustodyError, EnvelopeError) as error:
            raise WrongAnswerError(source, error.code, str(error)) from None

    async def _manifest(self, source: str, wanted: Wanted) -> Manifest:
        reply = await self._ask(source, GetManifest(wanted.chain, wanted.number, wanted.holder), Listing)
        try:
            manifest = await self._in_thread(Manifest.decode, reply.manifest)
        except EnvelopeError as error:
            raise WrongAnswerError(source, error.code, str(error)) from None
        named = (manifest.chain, manifest.number, manifest.holder) == (wanted.chain, wanted.number, wanted.holder)
        if not named or await self._in_thread(lambda: manifest.root) != wanted.root:
            raise WrongAnswerError(
                source, "WRONG_ROOT", f"the manifest of deposit {wanted.number} is not what the chain has: not used"
            )
        if (len(manifest.entries), manifest.size) != (wanted.objects, wanted.size) or wanted.size > MAX_DEPOSIT:
            raise WrongAnswerError(
                source,
                "WRONG_SIZE",
                f"deposit {wanted.number} has {len(manifest.entries)} objects of {manifest.size} bytes, which is not"
                f" what the chain says or more than {MAX_DEPOSIT}: not taken",
            )
        return manifest

    async def _take(self, source: str, wanted: Wanted, incoming: Incoming, count: Count) -> None:
        """Keep up to WINDOW pieces under way; store them in order."""
        entries = incoming.manifest.entries
        plan = ranges(entries, *incoming.position)
        under_way: deque[_Slot] = deque()
        failure: CallError | DocumentError | None = None
        async with trio.open_nursery() as nursery:
            while failure is None:
                while len(under_way) < WINDOW and (place := next(plan, None)) is not None:
                    slot = _Slot(*place)
                    under_way.append(slot)
                    await self._pace(slot.length)
                    nursery.start_soon(self._fetch, source, wanted, slot)
                if not under_way:
                    break
                slot = under_way.popleft()
                await slot.arrived.wait()
                failure = slot.error or await self._store(source, incoming, entries, slot)
                if failure is None:
                    count(slot.length)
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _fetch(self, source: str, wanted: Wanted, slot: _Slot) -> None:
        request = GetPiece(wanted.chain, wanted.number, wanted.holder, slot.index, slot.offset, slot.length)
        try:
            slot.data = (await self._ask(source, request, Piece)).data
            if len(slot.data) != slot.length:
                slot.error = WrongAnswerError(
                    source, "WRONG_SIZE", f"sent {len(slot.data)} bytes where {slot.length} belong: not used"
                )
        except CallError as error:
            slot.error = error
        slot.arrived.set()

    async def _store(
        self, source: str, incoming: Incoming, entries: Sequence[Entry], slot: _Slot
    ) -> CallError | DocumentError | None:
        try:
            await self._in_thread(_write, incoming, entries, slot.index, slot.offset, slot.data)
        except DocumentError as error:
            if error.code in LIES:
                return WrongAnswerError(source, error.code, str(error))
            return error
        self.bytes_in += len(slot.data)
        return None


def ranges(entries: Sequence[Entry], index: int, offset: int) -> Iterator[tuple[int, int, int]]:
    """(object, offset, length) of the pieces from a place on to the end, each at most MAX_PIECE bytes."""
    while index < len(entries):
        start = (index, offset)
        length = 0
        while index < len(entries) and length < MAX_PIECE:
            step = min(MAX_PIECE - length, entries[index].size - offset)
            length += step
            offset += step
            if offset == entries[index].size:
                index, offset = index + 1, 0
        yield (*start, length)


def _write(incoming: Incoming, entries: Sequence[Entry], index: int, offset: int, data: bytes) -> None:
    """Hand a piece to the vault object by object."""
    start = 0
    while start < len(data):
        step = min(len(data) - start, entries[index].size - offset)
        incoming.write(index, offset, data[start : start + step])
        start += step
        index, offset = index + 1, 0
