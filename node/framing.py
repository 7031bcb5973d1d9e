"""How a frame stands on a stream. Pure: no I/O, no clock, no libp2p.

    piece = u32 length | u8 kind | payload          length counts the payload, big-endian

WHOLE is a frame in one piece. A frame larger than a piece travels as PART … PART LAST on the same
stream, in order, never mixed with another frame. PING and PONG carry eight bytes and are the
heartbeat. A length is judged before a byte of its payload is kept, a total before the next part
is kept, so a peer can make us hold at most one frame of `frame_bytes` a stream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct("!IB")
BEAT_BYTES = 8


class FrameError(ValueError):
    """The peer broke the framing; its stream has no meaning from here on and must be reset."""


class Kind(IntEnum):
    """What a piece is."""

    WHOLE = 0
    PART = 1
    LAST = 2
    PING = 3
    PONG = 4


@dataclass(frozen=True, slots=True)
class FrameCaps:
    """The sizes one channel accepts, in bytes of payload."""

    piece_bytes: int
    """The largest piece on the wire."""
    frame_bytes: int
    """The largest frame, put together again; equal to `piece_bytes` where frames are not split."""

    def __post_init__(self) -> None:
        if not BEAT_BYTES <= self.piece_bytes <= self.frame_bytes < 2**32:
            raise ValueError(f"frame caps must satisfy {BEAT_BYTES} <= piece <= frame < 2^32, got {self}")


def split(frame: bytes, caps: FrameCaps) -> list[bytes]:
    """The bytes to write for `frame`, one item a piece, header included.

    Raises FrameError where the frame is larger than the channel takes: nothing may be sent then.
    """
    if len(frame) > caps.frame_bytes:
        raise FrameError(f"frame of {len(frame)} bytes exceeds the channel's cap of {caps.frame_bytes}")
    if len(frame) <= caps.piece_bytes:
        return [HEADER.pack(len(frame), Kind.WHOLE) + frame]
    size = caps.piece_bytes
    last = (len(frame) - 1) // size * size
    pieces = [HEADER.pack(size, Kind.PART) + frame[at : at + size] for at in range(0, last, size)]
    pieces.append(HEADER.pack(len(frame) - last, Kind.LAST) + frame[last:])
    return pieces


def beat(kind: Kind, token: bytes) -> bytes:
    """A heartbeat piece: PING asks, PONG answers with the same eight bytes."""
    if kind not in (Kind.PING, Kind.PONG) or len(token) != BEAT_BYTES:
        raise FrameError(f"a heartbeat is PING or PONG with {BEAT_BYTES} bytes")
    return HEADER.pack(BEAT_BYTES, kind) + token


class FrameReader:
    """Turns the bytes of one stream, cut anywhere, into frames and heartbeats."""

    def __init__(self, caps: FrameCaps) -> None:
        self._caps = caps
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Yield (WHOLE, frame), (PING, token) or (PONG, token) for what `data` completes.

        Raises FrameError at the first malformed or oversized piece; what stood before it has been yielded.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            length, code = HEADER.unpack_from(self._buffer)
            kind = self._judge(length, code)
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                payload = bytes(view[HEADER.size : end])
            del self._buffer[:end]
            if kind in (Kind.WHOLE, Kind.PING, Kind.PONG):
                yield kind, payload
                continue
            self._parts.append(payload)
            self._parts_bytes += length
            if kind is Kind.LAST:
                frame = b"".join(self._parts)
                self._parts, self._parts_bytes = [], 0
                yield Kind.WHOLE, frame

    def _judge(self, length: int, code: int) -> Kind:
        """The kind of the piece at the head of the buffer, refused from its header alone."""
        try:
            kind = Kind(code)
        except ValueError:
            raise FrameError(f"unknown piece kind {code}") from None
        if length > self._caps.piece_bytes:
            raise FrameError(f"piece of {length} bytes exceeds the cap of {self._caps.piece_bytes}")
        if kind in (Kind.PING, Kind.PONG):
            if length != BEAT_BYTES:
                raise FrameError(f"heartbeat of {length} bytes, expected {BEAT_BYTES}")
        elif kind is Kind.WHOLE:
            if self._parts:
                raise FrameError("a whole frame in the middle of a split one")
        elif length == 0:
            raise FrameError("an empty part")
        elif self._parts_bytes + length > self._caps.frame_bytes:
            raise FrameError(f"split frame exceeds the cap of {self._caps.frame_bytes} bytes")
        elif kind is Kind.LAST and not self._parts:
            raise FrameError("the last part of a frame that never began")
        return kind
