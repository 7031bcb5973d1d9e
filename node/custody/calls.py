"""Requests and replies over the custody channel: numbered, bounded, and answered member by member.

A member that asks too much at once is told so; one that is asked and does not answer costs the asker a timeout and
nothing else. What arrives is handled in the node's own loop, so nothing here waits while a frame is taken in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

import trio

from node.custody.messages import (
    GetKeys,
    GetManifest,
    GetPiece,
    GetVersions,
    Locate,
    Prove,
    PutKeys,
    Refused,
    Reply,
    Request,
    pack_reply,
    pack_request,
    unpack,
)

ASKED_AT_ONCE: Final = 16
"""Requests of one member that may wait here; its window is smaller."""
TIMEOUT_S: Final = 10.0
ROOM_S: Final = 0.01
ROOM_TRIES: Final = 300

Send: TypeAlias = Callable[[str, bytes], bool]
"""Queue a frame for a member; False where no link stands or its queue is full."""
Serve: TypeAlias = Callable[[str, Request], Awaitable[Reply]]

_REQUEST: Final = (GetManifest, GetKeys, GetPiece, GetVersions, PutKeys, Locate, Prove)
ReplyT = TypeVar("ReplyT")


class CallError(Exception):
    """A request that brought nothing; one line. ``code``: UPPER_SNAKE. ``member``: who was asked."""

    def __init__(self, member: str, code: str, message: str) -> None:
        super().__init__(f"{member}: {message}")
        self.member = member
        self.code = code


class NoAnswerError(CallError):
    """The member is not connected, or did not answer in time: ask another, or later."""


class RefusedError(CallError):
    """The member said no, with its reason."""


class WrongAnswerError(CallError):
    """The member answered with something untrue or beside the question: ask another."""


@dataclass
class _Pending:
    """A request under way."""

    answered: trio.Event = field(default_factory=trio.Event)
    reply: Reply | None = None


@dataclass
class _Waiting:
    """Requests of one member, oldest first."""

    requests: deque[tuple[int, Request]] = field(default_factory=deque)
    arrived: trio.Event = field(default_factory=trio.Event)


class Calls:
    """Both sides of the channel for one node. ``run`` answers; ``receive`` takes frames in; ``ask`` asks."""

    def __init__(self, send: Send, connected: Callable[[], set[str]], serve: Serve) -> None:
        self._send = send
        self._connected = connected
        self._serve = serve
        self._number = 0
        self._pending: dict[tuple[str, int], _Pending] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Answer requests until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for member in self._waiting:
                nursery.start_soon(self._answer, member)
            task_status.started()
            await trio.sleep_forever()

    def receive(self, member: str, frame: bytes) -> None:
        """Take a frame in, without waiting. Raises MessageError."""
        number, message = unpack(frame)
        if isinstance(message, _REQUEST):
            self._take(member, number, message)
            return
        pending = self._pending.get((member, number))
        if pending is not None and pending.reply is None:
            pending.reply = message
            pending.answered.set()

    def forget(self, member: str) -> None:
        """The link broke: whoever waits for this member's answer is told at once, and its requests are dropped."""
        for (asked, _), pending in self._pending.items():
            if asked == member:
                pending.answered.set()
        if member in self._waiting:
            self._waiting[member].requests.clear()

    async def ask(
        self, member: str, request: Request, expected: type[ReplyT], *, timeout_s: float = TIMEOUT_S
    ) -> ReplyT:
        """The member's reply. Raises NoAnswerError, RefusedError, WrongAnswerError (of another kind)."""
        self._number += 1
        key = (member, self._number)
        pending = self._pending[key] = _Pending()
        try:
            if not await self._deliver(member, pack_request(self._number, request)):
                raise NoAnswerError(member, "NOT_CONNECTED", "is not connected, or takes nothing: asked again later")
            with trio.move_on_after(timeout_s):
                await pending.answered.wait()
        finally:
            del self._pending[key]
        reply = pending.reply
        if reply is None:
            raise NoAnswerError(member, "NO_ANSWER", f"gave no answer within {timeout_s:g} s: asked again later")
        if isinstance(reply, Refused):
            raise RefusedError(member, reply.code, reply.message)
        if not isinstance(reply, expected):
            raise WrongAnswerError(
                member, "WRONG_ANSWER", f"answered {type(request).__name__} with {type(reply).__name__}: not used"
            )
        return reply

    def _take(self, member: str, number: int, request: Request) -> None:
        waiting = self._waiting.get(member)
        if waiting is None:
            waiting = self._waiting[member] = _Waiting()
            if self._nursery is not None:
                self._nursery.start_soon(self._answer, member)
        if len(waiting.requests) >= ASKED_AT_ONCE:
            busy = Refused(
                "BUSY", f"at most {ASKED_AT_ONCE} requests at once: ask again when the others are answered"
            )
            self._send(member, pack_reply(number, busy))
            return
        waiting.requests.append((number, request))
        waiting.arrived.set()

    async def _answer(self, member: str) -> None:
        """One member's requests, in order: each member has its own turn, whatever the others ask."""
        waiting = self._waiting[member]
        while True:
            while not waiting.requests:
                waiting.arrived = trio.Event()
                await waiting.arrived.wait()
            number, request = waiting.requests.popleft()
            reply = await self._serve(member, request)
            await self._deliver(member, pack_reply(number, reply))

    async def _deliver(self, member: str, frame: bytes) -> bool:
        """Queue a frame, waiting a moment for room; False where there was none: the asker asks again."""
        for _ in range(ROOM_TRIES):
            if self._send(member, frame):
                return True
            if member not in self._connected():
                return False
            await trio.sleep(ROOM_S)
        return False
