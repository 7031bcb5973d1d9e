"""The frame format: what a peer cuts, stretches or breaks, and what it may make us hold."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.framing import HEADER, FrameCaps, FrameError, FrameReader, Kind, beat, split

CAPS = FrameCaps(piece_bytes=64, frame_bytes=1000)
WHOLE_ONLY = FrameCaps(piece_bytes=100, frame_bytes=100)


def read(data: bytes, caps: FrameCaps = CAPS) -> list[tuple[Kind, bytes]]:
    return list(FrameReader(caps).feed(data))


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 90), min_size=1))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(piece for frame in frames for piece in split(frame, CAPS))
    reader, got, at, turn = FrameReader(CAPS), [], 0, 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        got += [payload for kind, payload in reader.feed(stream[at : at + step]) if kind is Kind.WHOLE]
        at, turn = at + step, turn + 1
    assert got == frames


@given(st.integers(0, 1000))
def test_a_frame_is_split_into_full_pieces_and_a_last_one(size: int) -> None:
    pieces = split(bytes(size), CAPS)
    lengths = [HEADER.unpack_from(piece)[0] for piece in pieces]
    assert all(len(piece) == HEADER.size + length for piece, length in zip(pieces, lengths, strict=True))
    assert sum(lengths) == size
    assert set(lengths[:-1]) <= {CAPS.piece_bytes}
    assert 0 <= lengths[-1] <= CAPS.piece_bytes


def test_a_frame_over_the_cap_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(FrameError, match="1001 bytes exceeds the channel's cap of 1000"):
        split(bytes(1001), CAPS)


def test_heartbeats_pass_between_the_parts_of_a_frame() -> None:
    parts = split(bytes(range(200)), CAPS)
    token = b"12345678"
    stream = parts[0] + beat(Kind.PING, token) + b"".join(parts[1:]) + beat(Kind.PONG, token)
    assert read(stream) == [(Kind.PING, token), (Kind.WHOLE, bytes(range(200))), (Kind.PONG, token)]


def piece(kind: int, payload: bytes) -> bytes:
    return struct.pack("!IB", len(payload), kind) + payload


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("!IB", 65, Kind.WHOLE), "piece of 65 bytes exceeds the cap of 64"),
        (struct.pack("!IB", 2**32 - 1, Kind.WHOLE), "exceeds the cap"),
        (piece(5, b"x"), "unknown piece kind 5"),
        (piece(255, b""), "unknown piece kind 255"),
        (piece(Kind.PING, b"1234567"), "heartbeat of 7 bytes"),
        (piece(Kind.PONG, b"123456789"), "heartbeat of 9 bytes"),
        (piece(Kind.LAST, b"x"), "never began"),
        (piece(Kind.PART, b""), "an empty part"),
        (piece(Kind.PART, b"x") + piece(Kind.LAST, b""), "an empty part"),
        (piece(Kind.PART, b"x") + piece(Kind.WHOLE, b"y"), "in the middle of a split one"),
        (piece(Kind.PART, bytes(64)) * 16, "split frame exceeds the cap of 1000 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "unknown piece kind 47"),
    ],
)
def test_a_broken_piece_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read(data)


def test_a_length_is_refused_before_its_payload_is_kept() -> None:
    reader = FrameReader(CAPS)
    with pytest.raises(FrameError):
        list(reader.feed(struct.pack("!IB", 10**9, Kind.WHOLE)))


def test_what_stood_before_a_broken_piece_is_delivered() -> None:
    stream = FrameReader(CAPS).feed(split(b"good", CAPS)[0] + piece(9, b""))
    assert next(stream) == (Kind.WHOLE, b"good")
    with pytest.raises(FrameError):
        next(stream)


def test_where_frames_are_not_split_a_total_over_one_piece_is_refused() -> None:
    assert read(split(bytes(100), WHOLE_ONLY)[0], WHOLE_ONLY) == [(Kind.WHOLE, bytes(100))]
    with pytest.raises(FrameError):
        read(piece(Kind.PART, bytes(100)) + piece(Kind.LAST, b"x"), WHOLE_ONLY)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_frames_within_the_caps_or_frame_error(data: bytes) -> None:
    try:
        frames = read(data)
    except FrameError:
        return
    assert all(len(payload) <= CAPS.frame_bytes for _, payload in frames)


@pytest.mark.parametrize(("piece_bytes", "frame_bytes"), [(0, 10), (100, 99), (100, 2**32)])
def test_senseless_caps_are_refused(piece_bytes: int, frame_bytes: int) -> None:
    with pytest.raises(ValueError, match="frame caps must satisfy"):
        FrameCaps(piece_bytes, frame_bytes)


def test_a_heartbeat_has_eight_bytes() -> None:
    with pytest.raises(FrameError):
        beat(Kind.PING, b"123")
    with pytest.raises(FrameError):
        beat(Kind.WHOLE, b"12345678")
