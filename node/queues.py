"""Bounded queues between the core and the links: what waits to be sent, and what waits to be read.

Bounded by frames and by bytes, a queue a peer, so that one peer's flood or stall costs only that peer.
Votes never wait: when full, the oldest of the same peer goes. Bulk and custody wait: their reader stops reading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import trio

from node.framing import HEADER, FrameCaps, Kind, beat, split

Channel = Literal["votes", "bulk", "custody"]
Patient = Literal["bulk", "custody"]
"""The channels whose frames wait for room instead of displacing older ones."""
PATIENT: Final[tuple[Patient, ...]] = ("bulk", "custody")

VOTES_PER_OTHER = 16
"""While both wait, this many votes are handed out before one frame of another channel: neither starves the other."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One frame as a member's node sent it: authenticated as to sender, otherwise unchecked."""

    member: str
    channel: Channel
    frame: bytes


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A link to this member stands: resend own votes or the decision it lacks (R10)."""

    member: str


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The link to this member broke; what was queued for it is gone."""

    member: str


Item = Inbound | PeerUp | PeerDown


class Outbox:
    """What waits for one peer on one channel."""

    def __init__(self, caps: FrameCaps, *, max_frames: int, max_bytes: int) -> None:
        self._caps = caps
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._pieces: deque[tuple[bytes, bool]] = deque()  # (bytes, whether a frame ends here)
        self._beats: dict[Kind, bytes] = {}
        self._waiter = trio.Event()
        self._midway = False  # the next piece continues a frame whose beginning was taken
        self.frames = 0
        self.bytes = 0

    def put(self, frame: bytes) -> bool:
        """Queue `frame`; False where the queue is full. Raises FrameError where no queue would take it."""
        pieces = split(frame, self._caps)
        size = len(frame) + HEADER.size * len(pieces)
        if self.frames >= self._max_frames or (self.frames and self.bytes + size > self._max_bytes):
            return False
        self._pieces.extend((piece, False) for piece in pieces[:-1])
        self._pieces.append((pieces[-1], True))
        self.frames += 1
        self.bytes += size
        self._waiter.set()
        return True

    def put_beat(self, kind: Kind, token: bytes) -> None:
        """Queue a heartbeat ahead of everything; a newer one of its kind replaces it."""
        self._beats[kind] = beat(kind, token)
        self._waiter.set()

    async def wait(self) -> None:
        """Return when something waits."""
        while not self._pieces and not self._beats:
            self._waiter = trio.Event()
            await self._waiter.wait()

    def take(self, budget: int) -> tuple[bytes, int]:
        """Bytes for one write and the number of frames that end in them: as many pieces as fit
        `budget`, or one larger piece."""
        taken = list(self._beats.values())
        self._beats.clear()
        size = sum(map(len, taken))
        frames = 0
        while self._pieces and (not taken or size + len(self._pieces[0][0]) <= budget):
            piece, ends = self._pieces.popleft()
            taken.append(piece)
            size += len(piece)
            self.bytes -= len(piece)
            frames += ends
            self._midway = not ends
        self.frames -= frames
        return b"".join(taken), frames

    def drop_rest(self) -> int:
        """Forget the rest of a frame whose beginning was taken, before a new stream begins; return
        how many frames that were (0 or 1)."""
        lost = int(self._midway)
        while self._midway:
            piece, ends = self._pieces.popleft()
            self.bytes -= len(piece)
            self._midway = not ends
        self.frames -= lost
        return lost

    def clear(self) -> int:
        """Forget everything; return how many frames that were."""
        lost = self.frames
        self._pieces.clear()
        self._beats.clear()
        self._midway = False
        self.frames = self.bytes = 0
        return lost


class _Waiting:
    """Frames of one member on one channel that the core has not taken yet."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.bytes = 0
        self.in_turn = False  # stands among its channel's turns
        self.room = trio.lowlevel.ParkingLot()

    def pop(self) -> bytes:
        frame = self.frames.popleft()
        self.bytes -= len(frame)
        self.room.unpark_all()
        return frame


class Inbox(trio.abc.ReceiveChannel[Item]):
    """What the peers sent, for one reader: fair between members, events first, then votes; bulk and custody in turn.

    `async for item in inbox` ends when the network has stopped.
    """

    def __init__(self, *, max_frames: int, max_bytes: Mapping[Channel, int]) -> None:
        self._max_frames = max_frames
        self._max_bytes = dict(max_bytes)
        self._waiting: dict[Channel, dict[str, _Waiting]] = {channel: {} for channel in max_bytes}
        # Members with something waiting, in turn; a member stands in it at most once.
        self._turns: dict[Channel, deque[str]] = {channel: deque() for channel in max_bytes}
        self._events: deque[PeerUp | PeerDown] = deque()
        self._votes_in_a_row = 0
        self._patient: deque[Patient] = deque(PATIENT)
        """Whose turn it is when no vote waits."""
        self._reader = trio.lowlevel.ParkingLot()
        self._closed = False

    def put_event(self, event: PeerUp | PeerDown) -> None:
        """Queue an event. An equal one still unread is replaced: a flapping link costs two entries."""
        if event in self._events:
            self._events.remove(event)
        self._events.append(event)
        self._reader.unpark()

    def put_vote(self, member: str, frame: bytes) -> int:
        """Queue a vote frame at once; return how many older ones of this member had to go for it."""
        waiting = self._of("votes", member)
        dropped = 0
        while waiting.frames and self._full("votes", waiting, frame):
            waiting.pop()
            dropped += 1
        self._append("votes", member, waiting, frame)
        return dropped

    async def put(self, channel: Patient, member: str, frame: bytes) -> None:
        """Queue a frame, waiting until this member's earlier ones on the channel leave room for it."""
        waiting = self._of(channel, member)
        while waiting.frames and self._full(channel, waiting, frame):
            await waiting.room.park()
        self._append(channel, member, waiting, frame)

    def forget(self, member: str) -> None:
        """Drop what a removed member sent."""
        for channel in self._waiting:
            if member in self._turns[channel]:
                self._turns[channel].remove(member)
            gone = self._waiting[channel].pop(member, None)
            if gone is not None:
                gone.frames.clear()
                gone.bytes = 0
                gone.room.unpark_all()

    def receive_nowait(self) -> Item:
        """The next item; raises trio.WouldBlock where none waits, trio.EndOfChannel after the end."""
        if self._events:
            return self._events.popleft()
        channel = self._next_channel()
        if channel is None:
            raise trio.EndOfChannel if self._closed else trio.WouldBlock
        self._votes_in_a_row = self._votes_in_a_row + 1 if channel == "votes" else 0
        return self._take(channel)

    def urgent_nowait(self) -> Item | None:
        """The next event or vote, None where none waits: for the reader that is busy with a long frame of another
        channel."""
        if self._events:
            return self._events.popleft()
        return self._take("votes") if self._turns["votes"] else None

    async def receive(self) -> Item:
        """The next item; raises trio.EndOfChannel after the end."""
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return self.receive_nowait()
            except trio.WouldBlock:
                await self._reader.park()

    def close(self) -> None:
        """No more will come: the reader gets what waits, then the end."""
        self._closed = True
        self._reader.unpark_all()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        await trio.lowlevel.checkpoint()

    def _take(self, channel: Channel) -> Inbound:
        """A frame of a channel on which one waits: the members take turns."""
        turns = self._turns[channel]
        member = turns.popleft()
        waiting = self._waiting[channel][member]
        frame = waiting.pop()
        waiting.in_turn = bool(waiting.frames)
        if waiting.in_turn:
            turns.append(member)
        return Inbound(member, channel, frame)

    def _next_channel(self) -> Channel | None:
        """Votes first, but after `VOTES_PER_OTHER` of them one frame of another channel; those two take turns."""
        if self._turns["votes"] and self._votes_in_a_row < VOTES_PER_OTHER:
            return "votes"
        for channel in self._patient:
            if self._turns[channel]:
                self._patient.remove(channel)
                self._patient.append(channel)
                return channel
        return "votes" if self._turns["votes"] else None

    def _of(self, channel: Channel, member: str) -> _Waiting:
        waiting = self._waiting[channel].get(member)
        if waiting is None:
            waiting = self._waiting[channel][member] = _Waiting()
        return waiting

    def _full(self, channel: Channel, waiting: _Waiting, frame: bytes) -> bool:
        return len(waiting.frames) >= self._max_frames or waiting.bytes + len(frame) > self._max_bytes[channel]

    def _append(self, channel: Channel, member: str, waiting: _Waiting, frame: bytes) -> None:
        if self._waiting[channel].get(member) is not waiting:
            return  # the member was removed while its frame waited for room
        if not waiting.in_turn:
            waiting.in_turn = True
            self._turns[channel].append(member)
        waiting.frames.append(frame)
        waiting.bytes += len(frame)
        self._reader.unpark()
