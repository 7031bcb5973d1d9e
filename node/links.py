"""One link to one member: its queues, its writers, its heartbeat. No libp2p here.

What carries the bytes comes in as a `Connection`. Rules kept here (NETWORK.md): one task owns each
stream; a write is never cancelled on a connection that lives on; each channel has a stream of its own;
at most one write a stream per flush interval; a peer silent for three heartbeats is dropped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import trio

from node.framing import BEAT_BYTES, FrameCaps, FrameError, FrameReader, Kind
from node.queues import PATIENT, Channel, Inbox, Outbox, Patient, PeerDown, PeerUp

MIB = 2**20
READ_BYTES = 64 * 1024
WRITE_BYTES = 65_507
"""The most one write carries: with Yamux's 12-byte header it fills one Noise message and not a byte more."""
SMALL_WRITE_BYTES = 16_355
"""The same for a quarter of a Noise message: what one write of bulk or custody carries on a slow line."""
SLOW_BYTES_PER_S = 4 * MIB
"""Below this a vote would stand longer behind a full write (16 ms and more) than four small ones cost (0.5 ms)."""
REOPEN_S = 0.25


class LinkBrokenError(Exception):
    """The connection or the stream does not carry bytes any more."""


class Log(Protocol):
    """The part of a structlog logger that is used here."""

    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...


class ByteStream(Protocol):
    """One direction of one channel."""

    async def write(self, data: bytes) -> None:
        """Raises LinkBrokenError. Cancelling it is allowed only together with aborting the connection."""

    async def read(self, count: int) -> bytes:
        """Up to `count` bytes, b"" at the end. Raises LinkBrokenError."""

    async def reset(self) -> None:
        """Give the stream up. Never raises."""


class Connection(Protocol):
    """An authenticated connection to the member."""

    async def open(self, channel: Channel) -> ByteStream:
        """A new outbound stream. Raises LinkBrokenError."""

    async def wait_closed(self) -> None:
        """Return when the connection is gone."""

    def abort(self) -> None:
        """Close the socket at once, whatever is being written."""


@dataclass(frozen=True, slots=True)
class NetworkLimits:
    """Every bound of the network. Bytes, frames, seconds."""

    vote_frame_bytes: int = 8 * MIB  # a PRE-PREPARE carries its block
    bulk_piece_bytes: int = 256 * 1024
    bulk_frame_bytes: int = 16 * MIB
    queue_frames: int = 4096  # a member, channel and direction
    votes_queue_bytes: int = 16 * MIB
    bulk_queue_bytes: int = 16 * MIB
    custody_queue_bytes: int = 4 * MIB
    bulk_bytes_per_s: int = 0  # a member; 0: no limit
    custody_bytes_per_s: int = 0  # likewise
    heartbeat_s: float = 1.0
    silent_beats: int = 3
    dial_s: float = 5.0
    handshake_s: float = 3.0
    open_stream_s: float = 5.0
    backoff_min_s: float = 0.05
    backoff_max_s: float = 0.5  # a refused dial costs next to nothing, and a node that is back votes that much sooner
    shut_out_s: float = 5.0  # between dials at one that closes during the handshake: that costs it a handshake each
    reserve_s: float = 3.0  # whoever is not to dial does after so long without a link: the other may not know where
    pending_handshakes: int = 64
    stranger_starts_per_s: float = 5.0
    stranger_burst: int = 20
    streams_per_connection: int = 16

    def caps(self, channel: Channel) -> FrameCaps:
        """The frame caps of a channel."""
        if channel == "votes":
            return FrameCaps(self.vote_frame_bytes, self.vote_frame_bytes)
        return FrameCaps(self.bulk_piece_bytes, self.bulk_frame_bytes)

    @property
    def queue_bytes(self) -> dict[Channel, int]:
        """What may wait for or from one member, a channel, in bytes."""
        return {
            "votes": self.votes_queue_bytes,
            "bulk": self.bulk_queue_bytes,
            "custody": self.custody_queue_bytes,
        }

    def rate(self, channel: Channel) -> int:
        """Bytes a second that a member is sent on a channel at most; 0: no limit."""
        return {"votes": 0, "bulk": self.bulk_bytes_per_s, "custody": self.custody_bytes_per_s}[channel]


@dataclass(slots=True)
class PeerStats:
    """What went over one link since the start."""

    connected: bool = False
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    dropped_in: int = 0  # votes the core did not take in time
    dropped_out: int = 0  # refused by a full queue, or lost with a broken link
    unreachable: int = 0  # sent while no link stood
    oversized: int = 0  # ours, larger than the channel takes: never sent
    malformed: int = 0  # theirs: the stream was reset
    bulk_resets: int = 0  # streams given up because the member did not read them: bulk and custody
    connects: int = 0
    silences: int = 0
    rtt_ms: float = 0.0  # smoothed; 0 before the first answer

    def copy(self) -> PeerStats:
        """A snapshot."""
        return replace(self)


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a member's node listens, and the Ed25519 keys (32 bytes) of which it must prove one.

    ``host`` is empty where this node does not know the address: then only the member can dial.
    """

    public_key: bytes
    host: str = ""
    port: int = 0
    further_keys: tuple[bytes, ...] = ()
    """Valid beside the first: a member changes over from one to the other without a gap."""

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All keys that prove this member."""
        return (self.public_key, *self.further_keys)


class Link:
    """A member we talk to, connected or not."""

    def __init__(self, member: str, limits: NetworkLimits, inbox: Inbox, flush_s: float, log: Log) -> None:
        self.member = member
        self.stats = PeerStats()
        self._limits = limits
        self._inbox = inbox
        self._flush_s = flush_s
        self._log = log
        self._outboxes = {channel: self._outbox(channel, size) for channel, size in limits.queue_bytes.items()}
        self._receiving: dict[Channel, trio.CancelScope] = {}
        self._up = trio.Event()
        self._ping: tuple[bytes, int] | None = None
        self._heard = 0

    def _outbox(self, channel: Channel, max_bytes: int) -> Outbox:
        return Outbox(self._limits.caps(channel), max_frames=self._limits.queue_frames, max_bytes=max_bytes)

    def send(self, channel: Channel, frame: bytes) -> bool:
        """Queue `frame` for the member; False, and counted, where it will not be sent."""
        if not self.stats.connected:
            self.stats.unreachable += 1
            return False
        try:
            queued = self._outboxes[channel].put(frame)
        except FrameError as error:
            self.stats.oversized += 1
            self._log.warning("frame not sent", member=self.member, channel=channel, reason=str(error))
            return False
        self.stats.dropped_out += not queued
        return queued

    async def serve(self, connection: Connection) -> None:
        """Carry frames over `connection` until it breaks. It is aborted on every way out.

        Raises LinkBrokenError with the reason.
        """
        try:
            votes = await self._open(connection, "votes")
            bulk = await self._open(connection, "bulk")
            custody = await self._open(connection, "custody")
            self._come_up()
            tasks: list[Callable[[], Awaitable[None]]] = [
                lambda: self._pump("votes", votes),
                lambda: self._pump_patient("bulk", connection, bulk),
                lambda: self._pump_patient("custody", connection, custody),
                lambda: self._heartbeat(),
                lambda: _until_closed(connection),
            ]
            await _first_to_break(tasks, connection)
        finally:
            connection.abort()
            self._go_down()

    async def receive(self, channel: Channel, stream: ByteStream) -> None:
        """Read one inbound stream to its end. A newer stream of the same channel replaces it.

        Nothing is read before our own streams stand: PeerUp comes before the member's first frame, and
        an answer to it can be sent. Raises LinkBrokenError, and FrameError where the member broke the framing.
        """
        reader = FrameReader(self._limits.caps(channel))
        with self._only_one(channel):
            await self._up.wait()
            while data := await stream.read(READ_BYTES):
                self._heard += 1
                self.stats.bytes_in += len(data)
                for kind, payload in reader.feed(data):
                    await self._take(channel, kind, payload)

    async def _take(self, channel: Channel, kind: Kind, payload: bytes) -> None:
        if kind is Kind.PING:
            self._outboxes["votes"].put_beat(Kind.PONG, payload)
        elif kind is Kind.PONG:
            self._answered(payload)
        else:
            self.stats.frames_in += 1
            if channel == "votes":
                self.stats.dropped_in += self._inbox.put_vote(self.member, payload)
            else:
                await self._inbox.put(channel, self.member, payload)

    async def _open(self, connection: Connection, channel: Channel) -> ByteStream:
        with trio.move_on_after(self._limits.open_stream_s):
            return await connection.open(channel)
        raise LinkBrokenError(f"no {channel} stream within {self._limits.open_stream_s:g} s")

    async def _pump(self, channel: Channel, stream: ByteStream) -> None:
        """Own `stream`: write what the channel's outbox holds, until the stream breaks."""
        outbox = self._outboxes[channel]
        rate = self._limits.rate(channel)
        size = _WriteSize(adapts=channel in PATIENT)
        while True:
            await outbox.wait()
            await trio.lowlevel.checkpoint()  # what others send in this pass of the loop goes along
            while True:
                data, frames = outbox.take(WRITE_BYTES)
                try:
                    at = 0
                    while at < len(data):
                        part = data[at : at + size.bytes]
                        began = trio.current_time()
                        await stream.write(part)
                        size.took(len(part), trio.current_time() - began)
                        at += len(part)
                        if rate:
                            await trio.sleep(len(part) / rate)
                except LinkBrokenError:
                    self.stats.dropped_out += frames
                    raise
                self.stats.frames_out += frames
                self.stats.bytes_out += len(data)
                if outbox.bytes < WRITE_BYTES:
                    break
            if self._flush_s:
                await trio.sleep(self._flush_s)  # frames of the next moments share one write

    async def _pump_patient(self, channel: Patient, connection: Connection, stream: ByteStream) -> None:
        """As `_pump`; a peer that does not read one of these channels costs that stream, not the link."""
        while True:
            try:
                await self._pump(channel, stream)
            except LinkBrokenError:
                self.stats.bulk_resets += 1
                self.stats.dropped_out += self._outboxes[channel].drop_rest()
                await stream.reset()
                await trio.sleep(REOPEN_S)
                stream = await self._open(connection, channel)

    async def _heartbeat(self) -> None:
        """Ask every beat; break the link after `silent_beats` beats without a byte from the member.

        Beats are counted, not seconds: a process that was itself stopped does not blame its peers.
        """
        silent = 0
        while silent < self._limits.silent_beats:
            now = time.monotonic_ns()
            token = now.to_bytes(BEAT_BYTES, "big")
            self._ping = (token, now)
            self._outboxes["votes"].put_beat(Kind.PING, token)
            heard = self._heard
            await trio.sleep(self._limits.heartbeat_s)
            silent = 0 if self._heard != heard else silent + 1
        self.stats.silences += 1
        raise LinkBrokenError(f"silent for {silent * self._limits.heartbeat_s:g} s")

    def _answered(self, token: bytes) -> None:
        if self._ping is None or token != self._ping[0]:
            return
        took_ms = (time.monotonic_ns() - self._ping[1]) / 1e6
        self._ping = None
        self.stats.rtt_ms = took_ms if not self.stats.rtt_ms else 0.8 * self.stats.rtt_ms + 0.2 * took_ms

    def _come_up(self) -> None:
        self.stats.connected = True
        self.stats.connects += 1
        self._log.info("link up", member=self.member)
        self._inbox.put_event(PeerUp(self.member))
        self._up.set()

    def _go_down(self) -> None:
        for outbox in self._outboxes.values():
            self.stats.dropped_out += outbox.clear()
        if self.stats.connected:
            self.stats.connected = False
            self._up = trio.Event()
            self._inbox.put_event(PeerDown(self.member))

    @contextmanager
    def _only_one(self, channel: Channel) -> Iterator[None]:
        """Cancel the reader this one replaces: a member costs one reader a channel."""
        earlier = self._receiving.get(channel)
        if earlier is not None:
            earlier.cancel()
        with trio.CancelScope() as scope:
            self._receiving[channel] = scope
            try:
                yield
            finally:
                if self._receiving.get(channel) is scope:
                    del self._receiving[channel]


class _WriteSize:
    """How much one write carries. Writes of all channels go out one after the other, so on a slow line the patient
    channels' are small: a vote waits for at most one of each."""

    def __init__(self, *, adapts: bool) -> None:
        self._adapts = adapts
        self._s_per_byte = 0.0

    @property
    def bytes(self) -> int:
        """Of the next write."""
        slow = self._adapts and self._s_per_byte * SLOW_BYTES_PER_S > 1
        return SMALL_WRITE_BYTES if slow else WRITE_BYTES

    def took(self, count: int, seconds: float) -> None:
        """A write of so many bytes took so long."""
        self._s_per_byte += (seconds / count - self._s_per_byte) / 4


class Peer:
    """A member, its address, and the connection that has just come in from it."""

    def __init__(self, member: str, address: PeerAddress, link: Link, *, dials: bool) -> None:
        self.member = member
        self.address = address
        self.link = link
        self.dials = dials
        """Whether of this pair it is this node that dials."""
        self.proven: bytes | None = None
        """The key that the newest connection has proved."""
        self.attempts = 0
        self.keeper = trio.CancelScope()
        """The scope of the task that keeps the link; a fresh one each time libp2p is started."""
        self._serving: trio.CancelScope | None = None
        self._dialling: trio.CancelScope | None = None
        self._arrived: Connection | None = None
        self._arrival = trio.Event()

    def offer(self, connection: Connection) -> None:
        """Take an accepted connection; it replaces whatever connection this member had."""
        if self._arrived is not None:
            self._arrived.abort()
        self._arrived = connection
        self._arrival.set()
        for scope in (self._serving, self._dialling):
            if scope is not None:
                scope.cancel()

    async def in_reserve(self, dial: Callable[[], Awaitable[None]], patience_s: float) -> None:
        """Serve the connection that the member makes; `dial` where none comes in time and its address is known.

        Raises LinkBrokenError.
        """
        with trio.move_on_after(patience_s if self.address.host else math.inf) as waiting:
            connection = await self.arrival()
        if not waiting.cancelled_caught:
            await self.serve(connection)
        elif not self.dials:
            with trio.CancelScope() as self._dialling:
                await dial()
            self._dialling = None

    @property
    def has_arrived(self) -> bool:
        """Whether a connection has come in that is not served yet."""
        return self._arrived is not None

    async def pause(self, seconds: float) -> None:
        """Sleep, but no longer than until a connection comes in."""
        with trio.move_on_after(seconds):
            await self._wait_for_arrival()

    async def _wait_for_arrival(self) -> None:
        while self._arrived is None:
            self._arrival = trio.Event()
            await self._arrival.wait()

    async def arrival(self) -> Connection:
        """The next accepted connection."""
        await self._wait_for_arrival()
        assert self._arrived is not None
        connection, self._arrived = self._arrived, None
        return connection

    async def serve(self, connection: Connection) -> None:
        """Run the link over `connection` until it breaks (LinkBrokenError) or a newer one arrives."""
        with trio.CancelScope() as self._serving:
            if self._arrived is not None:
                self._serving.cancel()
            await self.link.serve(connection)
        self._serving = None

    def drop(self) -> None:
        """Stop keeping the link."""
        self.keeper.cancel()
        if self._arrived is not None:
            self._arrived.abort()
            self._arrived = None


async def _until_closed(connection: Connection) -> None:
    await connection.wait_closed()
    raise LinkBrokenError("the connection was closed")


async def _first_to_break(tasks: list[Callable[[], Awaitable[None]]], connection: Connection) -> None:
    """Run `tasks` until the first breaks; raise its reason. The connection is aborted before the others
    are cancelled, so that no write is cancelled on a connection that lives on."""
    reasons: list[LinkBrokenError] = []

    async def run(task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except LinkBrokenError as reason:
            reasons.append(reason)
            connection.abort()
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(run, task)
    if reasons:
        raise reasons[0]
