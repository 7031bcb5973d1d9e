"""Serving partial observers: parts, blocks of chains that are opened to them, and witnesses, in small slices.

A validator must not work hard because somebody asks: questions are bounded (``node.partial.messages``), a member may
have a few waiting, one task serves all in turn, two milliseconds at a time, and rests after each. While transactions
wait to be ordered it takes ``BUSY_SHARE`` of one core at most, for all observers together.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

import trio

from chain.block import CONSORTIUM
from chain.parts import chain_block_of, part_of
from chain.store import SnapshotClosedError
from chain.view import LedgerError, PrunedError, View
from chain.witness import open_keys
from node.partial.messages import (
    MAX_PARTS,
    Answer,
    Chain,
    GetChain,
    GetParts,
    GetWitness,
    PartRefused,
    Parts,
    Request,
    Values,
    Wanted,
    Witness,
    pack,
)

BUSY_SHARE: Final = 0.04
"""Of one core, while transactions wait here."""
IDLE_SHARE: Final = 0.5
SLICE_S: Final = 0.002
"""So much work is done before votes and timers have their turn."""
MAX_WAITING: Final = 8
"""Questions of one member that wait here; another one is not answered."""
HOLD_S: Final = 4.0
"""A question for parts that are not there yet waits this long for one."""
ANSWER_BYTES: Final = 1024 * 1024
"""An answer ends after the item that passes this."""
MAX_BLOCKS: Final = 16
"""Blocks of a chain in one answer: each may bring witnesses along."""
CACHED_PARTS: Final = 64


class Published(Protocol):
    """The newest view of the ledger (``node.threads.Newest``)."""

    @property
    def view(self) -> View:
        """It."""

    async def above(self, height: int) -> View:
        """It, once it is above a height."""


class RefusalError(Exception):
    """What is asked for is not given; one line."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class _Held:
    """A question for parts that are not there yet."""

    member: str
    request: GetParts
    until: float


class PartServer:
    """One node's serving side. Runs in the node's own loop."""

    def __init__(
        self,
        newest: Published,
        send: Callable[[str, bytes], bool],
        *,
        may_follow: Callable[[str, str], bool],
        is_busy: Callable[[], bool],
    ) -> None:
        """``may_follow(member, chain)``: the registry's word (``node.membership``); ``is_busy``: votes come first."""
        self._newest = newest
        self._send = send
        self._may_follow = may_follow
        self._is_busy = is_busy
        self._waiting: OrderedDict[str, deque[Request]] = OrderedDict()
        self._held: list[_Held] = []
        self._wake = trio.Event()
        self._parts: OrderedDict[int, bytes] = OrderedDict()
        self.served = 0
        """Answers sent."""
        self.dropped = 0
        """Questions not answered, for their member had too many waiting, and answers to nothing."""
        self.seconds = 0.0
        """Processor time that serving has taken."""
        self._debt = 0.0

    def handlers(self) -> dict[type, Callable[[str, Any], Awaitable[None]]]:
        """What a node that serves does with each message of this part: it asks nothing, so an answer is a stray."""

        async def question(member: str, request: Request) -> None:
            self.take(member, request)

        async def stray(_member: str, _answer: Answer) -> None:
            self.dropped += 1

        asked = dict.fromkeys((GetParts, GetChain, GetWitness), question)
        return {**asked, **dict.fromkeys((Parts, Chain, Witness, PartRefused), stray)}

    def take(self, member: str, request: Request) -> None:
        """A member's question; answered in its turn."""
        queue = self._waiting.setdefault(member, deque())
        if len(queue) >= MAX_WAITING:
            self.dropped += 1
            return
        queue.append(request)
        self._wake.set()

    def forget(self, member: str) -> None:
        """The connection broke: nobody waits for the answers."""
        self._waiting.pop(member, None)
        self._held = [held for held in self._held if held.member != member]

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_head)
            while True:
                self._wake = trio.Event()  # before looking: what comes while something is served is not missed
                self._look_at_held()
                turn = self._next()
                if turn is not None:
                    await self._serve(*turn)
                    continue
                deadline = min((held.until for held in self._held), default=float("inf"))
                with trio.move_on_at(deadline):
                    await self._wake.wait()

    async def _watch_head(self) -> None:
        height = self._newest.view.height
        while True:
            height = (await self._newest.above(height)).height
            self._wake.set()

    def _next(self) -> tuple[str, Request] | None:
        """The next question, members taking turns."""
        while self._waiting:
            member, queue = self._waiting.popitem(last=False)
            if queue:
                request = queue.popleft()
                self._waiting[member] = queue
                return member, request
        return None

    def _look_at_held(self) -> None:
        """Those whose part has come, or who waited long enough, are next."""
        height, now, still = self._newest.view.height, trio.current_time(), []
        for held in self._held:
            if held.request.start <= height:
                self._waiting.setdefault(held.member, deque()).append(held.request)
            elif held.until <= now:
                self._answer(held.member, Parts(held.request.number, height, b"", ()))
            else:
                still.append(held)
        self._held = still

    async def _serve(self, member: str, request: Request) -> None:
        view = self._newest.view
        try:
            match request:
                case GetParts(_, start) if start > view.height:
                    self._held = [held for held in self._held if held.member != member]
                    self._held.append(_Held(member, request, trio.current_time() + HOLD_S))
                    await trio.lowlevel.checkpoint()
                    return
                case GetParts():
                    answer: Answer = await self._parts_from(view, request)
                case GetChain():
                    answer = await self._chain_from(view, member, request)
                case GetWitness(number, height, wanted):
                    answer = Witness(number, await self._values(view, height, wanted))
        except RefusalError as error:
            answer = PartRefused(request.number, error.code, str(error))
        except (PrunedError, LedgerError) as error:
            answer = PartRefused(request.number, "NOT_KEPT", str(error))
        except SnapshotClosedError:  # many blocks came while this one rested between slices
            answer = PartRefused(request.number, "TRY_AGAIN", "the answer took too long: ask again, for less")
        self._answer(member, answer)

    def _answer(self, member: str, answer: Answer) -> None:
        self.served += 1
        self._send(member, pack(answer))

    async def _parts_from(self, view: View, request: GetParts) -> Parts:
        start = max(1, request.start)
        found: list[bytes] = []
        size = 0
        while len(found) < MAX_PARTS and size < ANSWER_BYTES and start + len(found) <= view.height:
            part = await self._slice(self._part, view, start + len(found))
            found.append(part)
            size += len(part)
        before = view.certificate(start - 1)
        certificate = b"" if before is None else before.encode()
        return Parts(request.number, view.height, certificate, tuple(found))

    def _part(self, view: View, height: int) -> bytes:
        """The part of a height; the newest are asked for by every observer and so kept."""
        known = self._parts.get(height)
        if known is None:
            known = self._parts[height] = part_of(view, height).encode()
            if len(self._parts) > CACHED_PARTS:
                self._parts.popitem(last=False)
        return known

    async def _chain_from(self, view: View, member: str, request: GetChain) -> Chain:
        chain = request.chain
        if not self._may_follow(member, chain):
            raise RefusalError(
                "NOT_OPENED", f"chain {chain} is not opened to {member}: ask its member for registry.open_chain"
            )
        head = next((each for each in view.heads(view.height) if each.chain == chain), None)
        if head is None:
            raise RefusalError("UNKNOWN_CHAIN", f"there is no chain {chain!r} here")
        blocks: list[tuple[bytes, Values]] = []
        size, own = 0, max(1, request.start)
        while own <= head.height and len(blocks) < MAX_BLOCKS and size < ANSWER_BYTES:
            block = await self._slice(chain_block_of, view, chain, own)
            before = view.member_block(chain, own).consortium_height - 1
            values = Values([], ())
            if request.wanted:
                values = await self._values(view, before, request.wanted)
            encoded = block.encode()
            blocks.append((encoded, values))
            size += len(encoded) + sum(len(value or b"") for value in values.values)
            own += 1
        return Chain(request.number, tuple(blocks))

    async def _values(self, view: View, height: int, wanted: tuple[Wanted, ...]) -> Values:
        """As many of the values, in order, as fit an answer, with the tree opened at their keys."""
        if not wanted:
            raise RefusalError("NO_KEYS", "a witness of no keys shows nothing: name the keys")
        values: list[bytes | None] = []
        size = 0
        for each in wanted:
            value = await self._slice(view.state_bytes, CONSORTIUM, each.key, height)
            if value is not None and each.known and sha256(value).digest() == each.known:
                value = None
            values.append(value)
            size += len(value or b"")
            if size >= ANSWER_BYTES:
                break
        tree = view.tree(CONSORTIUM, height)
        for each in wanted[: len(values)]:
            await self._slice(tree.prove, each.key)  # reads the nodes; what follows only puts them together
        opening = await self._slice(open_keys, tree, [each.key for each in wanted[: len(values)]])
        return Values(opening, tuple(values))

    async def _slice(self, work: Callable[..., Any], *args: Any) -> Any:
        """Do a piece of work, and rest once enough has gathered, so that serving has its share of this loop and no
        more. Not after each piece: a busy loop comes back only after a while."""
        begun = time.thread_time()  # of this thread alone: where others take the processor, it waits long enough
        found = work(*args)
        taken = time.thread_time() - begun
        self.seconds += taken
        self._debt += taken
        if self._debt >= SLICE_S:
            share = BUSY_SHARE if self._is_busy() else IDLE_SHARE
            rest, self._debt = self._debt * (1 / share - 1), 0.0
            await trio.sleep(rest)
        return found
