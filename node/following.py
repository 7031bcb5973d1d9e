"""Blocks for members without a vote: pushed after each commit, by one validator at a time, and checked in full.

A follower says where it stands and how much it has room for (`exchange.Follow`); the `Feeder` at the other end sends
committed blocks as far as that goes, and an empty answer where there is none, so that silence means trouble. The
`Follower` believes nothing: each block goes the way of one that was missed (`node.sync`). It takes another validator
when one is silent, stays behind what it says it has, sends what does not stand, or has had nothing new for long.

Votes, proposals and gossip go to voters only, so this is all that a follower costs: the bytes of each block, once, to
one validator.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from chain.ledger import Ledger
from node.driver import Log
from node.exchange import Blocks, Follow, Refused, pack
from node.sync import stored_blocks

ROOM: Final = 4 * 1024 * 1024
"""Bytes of blocks that may be under way to a follower."""
FRAME_BYTES: Final = 256 * 1024
"""A frame ends after the block that passes this."""
CATCH_UP_BYTES_PER_S: Final = 4 * 1024 * 1024
"""Of old blocks, to all followers together: about 3 % of a core, and more than one of them executes."""
RENEW_S: Final = 2.0
STALL_S: Final = 6.0
"""Nothing heard, or nothing of what the server says it has, for so long: another one is asked."""
QUIET_S: Final = 15.0
"""Beyond the consortium's longest wait for a block: a server with nothing new for so long may be cut off itself."""
EXPIRE_S: Final = 15.0
"""A follower that says nothing for so long is sent nothing more."""
ANEW_S: Final = 1.0
"""So long a follower may not begin anew: else it could have one large block sent again and again."""
AVOID_S: Final = 30.0
"""Who refused, or sent what does not stand, is not asked again for so long."""
LOOK_S: Final = 0.25

NOT_OPENED: Final = "NOT_OPENED"

Send = Callable[[str, bytes], bool]
"""Queue a frame of the bulk channel for a member."""


@dataclass
class _Followed:
    """A follower, as its server sees it."""

    next: int
    room: int
    heard: float
    began: float
    under_way: deque[tuple[int, int]] = field(default_factory=deque)
    """(height, bytes) of what was sent and not confirmed."""


class Feeder:
    """Sends committed blocks to followers. ``closed_to(member)`` names the chains that a member may not read."""

    def __init__(self, ledger: Ledger, send: Send, closed_to: Callable[[str], Sequence[str]]) -> None:
        self._ledger = ledger
        self._send = send
        self._closed_to = closed_to
        self._followed: dict[str, _Followed] = {}
        self._wake = trio.Event()

    @property
    def followers(self) -> list[str]:
        """Whom this node sends blocks to, sorted."""
        return sorted(self._followed)

    def refuses(self, member: str) -> bool:
        """Tell a member that may not read every chain so, instead of sending it blocks."""
        closed = self._closed_to(member)
        if closed:
            said = f"{', '.join(closed)} not opened to {member}: follow the others (`follow` in node.toml)"
            self._send(member, pack(Refused(NOT_OPENED, said)))
        return bool(closed)

    def follow(self, member: str, request: Follow) -> None:
        """A follower says where it is. It is answered at once, if only with nothing."""
        if self.refuses(member):
            self.forget(member)
            return
        start = max(1, request.start)
        known, now = self._followed.get(member), trio.current_time()
        if known is None or start > known.next or (request.anew and now - known.began >= ANEW_S):
            known = self._followed[member] = _Followed(start, request.room, now, now)
        known.room, known.heard = request.room, now
        while known.under_way and known.under_way[0][0] < start:
            known.under_way.popleft()
        if known.next > self._ledger.height:
            self._send(member, pack(Blocks(known.next, self._ledger.height, ())))
        self._wake.set()

    def forget(self, member: str) -> None:
        """The link broke, or the member follows no more."""
        self._followed.pop(member, None)

    def committed(self) -> None:
        """A block was committed."""
        if self._followed:
            self._wake.set()

    async def run(self) -> None:
        """Send what there is to whoever has room, in turn, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            hungry = list(self._followed)
            while hungry:
                sent = {member: self._feed(member) for member in hungry}
                hungry = [
                    member for member in hungry if sent[member] and self._followed[member].next <= self._ledger.height
                ]
                await trio.sleep(sum(sent[member] for member in hungry) / CATCH_UP_BYTES_PER_S)

    def _feed(self, member: str) -> int:
        """Send one frame of blocks and give its bytes; 0 where there is none to send, or no room for it now."""
        known = self._followed.get(member)
        if known is None or known.next > self._ledger.height:
            return 0
        if trio.current_time() - known.heard > EXPIRE_S or self.refuses(member):
            self.forget(member)
            return 0
        if sum(size for _, size in known.under_way) >= known.room:
            return 0
        blocks = stored_blocks(self._ledger, known.next, FRAME_BYTES)
        if not self._send(member, pack(Blocks(known.next, self._ledger.height, blocks))):
            return 0
        sizes = [len(block) for block, _ in blocks]
        known.under_way.extend(enumerate(sizes, known.next))
        known.next += len(blocks)
        return sum(sizes)


class Follower:
    """Has one of the ``servers()`` send it blocks while ``active()``: this member has no vote at its head.

    ``append(member, reply)`` checks and appends what came, False where it does not stand; ``longest_wait_s()`` is the
    longest that the consortium waits for a block.
    """

    def __init__(
        self,
        *,
        member: str,
        height: Callable[[], int],
        send: Send,
        servers: Callable[[], Sequence[str]],
        active: Callable[[], bool],
        append: Callable[[str, Blocks], Awaitable[bool]],
        longest_wait_s: Callable[[], float],
        log: Log,
    ) -> None:
        self._height = height
        self._send = send
        self._servers = servers
        self._active = active
        self._append = append
        self._longest_wait_s = longest_wait_s
        self._log = log
        self._turn = zlib.crc32(member.encode())  # several followers do not all begin at one validator
        self._avoided: dict[str, float] = {}
        self._left = trio.Event()
        self._heard = self._progress = 0.0
        self._told_head = 0
        self._since_asked = 0
        self.server: str | None = None
        """Who sends blocks now."""
        self.refused: Refused | None = None
        """The newest refusal, until blocks come."""

    async def run(self) -> None:
        """Follow while without a vote, until cancelled."""
        while True:
            server = self._choose() if self._active() else None
            if server is None:
                await trio.sleep(LOOK_S)
                continue
            reason = await self._follow(server)
            self.server = None
            self._turn += 1
            self._log.info("follows another", was=server, reason=reason)

    async def take(self, member: str, reply: Blocks) -> None:
        """Blocks, or the word that there are none, from whoever sends them."""
        if member != self.server:
            return
        self._heard = trio.current_time()
        self._told_head = reply.head
        if not reply.blocks:
            return
        before = self._height()
        if not await self._append(member, reply):
            self._avoid(member)
        elif self._height() > before:
            self.refused = None
            self._progress = trio.current_time()
        self._since_asked += sum(len(block) for block, _ in reply.blocks)
        if self._since_asked >= ROOM // 2 and self.server is not None:
            self._ask(self.server, anew=False)

    def refuse(self, member: str, refusal: Refused) -> None:
        """A server does not serve this member."""
        if member == self.server:
            if self.refused != refusal:
                self._log.warning("not served", member=member, code=refusal.code, reason=refusal.message)
            self.refused = refusal
            self._avoid(member)

    def forget(self, member: str) -> None:
        """The link broke."""
        if member == self.server:
            self._left.set()

    async def _follow(self, server: str) -> str:
        """Have ``server`` send until there is a reason not to; gives that reason."""
        self.server = server
        self._left = trio.Event()
        self._heard = self._progress = trio.current_time()
        self._told_head = 0
        self._ask(server, anew=True)
        while True:
            with trio.move_on_after(RENEW_S):
                await self._left.wait()
                return "it is gone, or not to be asked for a while"
            now = trio.current_time()
            if not self._active():
                return "this member votes now"
            if now - self._heard > STALL_S:
                return f"silent for {STALL_S:g} s"
            if now - self._progress > (STALL_S if self._told_head > self._height() else self._quiet_s()):
                return "nothing new came"
            self._ask(server, anew=False)

    def _ask(self, server: str, *, anew: bool) -> None:
        self._since_asked = 0
        self._send(server, pack(Follow(self._height() + 1, ROOM, anew)))

    def _choose(self) -> str | None:
        """The next of those that may be asked now."""
        now = trio.current_time()
        open_to_us = [member for member in self._servers() if self._avoided.get(member, 0.0) <= now]
        return open_to_us[self._turn % len(open_to_us)] if open_to_us else None

    def _avoid(self, member: str) -> None:
        self._avoided[member] = trio.current_time() + AVOID_S
        self._left.set()

    def _quiet_s(self) -> float:
        return QUIET_S + self._longest_wait_s()
