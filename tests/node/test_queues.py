"""Bounded queues: who loses what when something is full, and that nobody else does."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from node.framing import HEADER, FrameCaps, FrameError, FrameReader, Kind
from node.queues import VOTES_PER_OTHER, Inbound, Inbox, Item, Outbox, PeerDown, PeerUp

CAPS = FrameCaps(piece_bytes=100, frame_bytes=1000)


def outbox(max_frames: int = 4, max_bytes: int = 2000) -> Outbox:
    return Outbox(CAPS, max_frames=max_frames, max_bytes=max_bytes)


def inbox(max_frames: int = 3, votes_bytes: int = 100, bulk_bytes: int = 100) -> Inbox:
    return Inbox(max_frames=max_frames, max_bytes={"votes": votes_bytes, "bulk": bulk_bytes, "custody": bulk_bytes})


def drain(box: Inbox) -> list[Item]:
    items = []
    while True:
        try:
            items.append(box.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return items


def frames(data: bytes) -> list[bytes]:
    return [payload for _, payload in FrameReader(CAPS).feed(data)]


def test_an_outbox_full_of_frames_refuses_the_newest() -> None:
    box = outbox(max_frames=2)
    assert [box.put(b"a"), box.put(b"b"), box.put(b"c")] == [True, True, False]
    assert frames(box.take(1000)[0]) == [b"a", b"b"]
    assert box.put(b"c")


def test_an_outbox_full_of_bytes_refuses_the_newest_but_takes_one_frame_of_any_allowed_size() -> None:
    box = outbox(max_bytes=300)
    assert box.put(bytes(1000))
    assert not box.put(b"x")
    assert box.bytes == 1000 + 10 * HEADER.size
    with pytest.raises(FrameError):
        box.put(bytes(1001))


def test_one_write_takes_what_fits_and_the_counts_return_to_zero() -> None:
    box = outbox()
    for frame in (b"a" * 40, b"b" * 40, b"c" * 40):
        box.put(frame)
    data, ended = box.take(100)
    assert (frames(data), ended) == ([b"a" * 40, b"b" * 40], 2)
    data, ended = box.take(100)
    assert (frames(data), ended) == ([b"c" * 40], 1)
    assert (box.frames, box.bytes) == (0, 0)
    assert box.take(100) == (b"", 0)


def test_heartbeats_go_first_and_only_the_newest_of_a_kind() -> None:
    box = outbox()
    box.put(b"frame")
    box.put_beat(Kind.PING, b"older...")
    box.put_beat(Kind.PING, b"newer...")
    data, ended = box.take(1000)
    assert list(FrameReader(CAPS).feed(data)) == [(Kind.PING, b"newer..."), (Kind.WHOLE, b"frame")]
    assert ended == 1


def test_the_rest_of_a_frame_whose_beginning_was_taken_is_not_sent_on_a_new_stream() -> None:
    box = outbox()
    box.put(b"split" * 50)
    box.put(b"next")
    assert box.take(110)[1] == 0
    assert box.drop_rest() == 1
    assert box.drop_rest() == 0
    assert frames(box.take(1000)[0]) == [b"next"]
    assert (box.frames, box.bytes) == (0, 0)


def test_clearing_an_outbox_tells_how_many_frames_are_lost() -> None:
    box = outbox()
    box.put(b"split" * 50)
    box.put(b"next")
    box.take(110)
    assert box.clear() == 2
    assert (box.frames, box.bytes, box.take(10)) == (0, 0, (b"", 0))


def test_waiting_ends_when_a_frame_or_a_heartbeat_comes() -> None:
    async def main() -> None:
        box = outbox()
        for put in (lambda: box.put(b"x"), lambda: box.put_beat(Kind.PING, b"12345678")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(box.wait)
                await trio.testing.wait_all_tasks_blocked()
                put()
            box.take(1000)

    trio.run(main)


def test_votes_lose_the_oldest_of_the_same_member_only() -> None:
    box = inbox(max_frames=3)
    assert box.put_vote("b", b"from b") == 0
    assert [box.put_vote("a", bytes([n])) for n in range(5)] == [0, 0, 0, 1, 1]
    assert [item.frame for item in drain(box) if isinstance(item, Inbound) and item.member == "a"] == [
        bytes([n]) for n in (2, 3, 4)
    ]


def test_votes_are_bounded_by_bytes_too_and_one_large_frame_always_fits() -> None:
    box = inbox(votes_bytes=100)
    box.put_vote("a", bytes(60))
    assert box.put_vote("a", bytes(60)) == 1
    assert box.put_vote("a", bytes(500)) == 1
    assert [len(item.frame) for item in drain(box) if isinstance(item, Inbound)] == [500]


def test_a_flooding_member_waits_for_its_turn_among_the_others() -> None:
    box = inbox(max_frames=100)
    for n in range(50):
        box.put_vote("flood", bytes([n]))
    box.put_vote("b", b"b")
    box.put_vote("c", b"c")
    first = drain(box)[:4]
    assert {item.member for item in first if isinstance(item, Inbound)} == {"flood", "b", "c"}


def test_a_busy_reader_takes_events_and_votes_in_between() -> None:
    async def main() -> None:
        box = inbox()
        assert box.urgent_nowait() is None
        await box.put("bulk", "a", b"bulk")
        assert box.urgent_nowait() is None
        box.put_vote("b", b"1")
        box.put_vote("a", b"2")
        box.put_event(PeerUp("c"))
        assert [box.urgent_nowait() for _ in range(4)] == [
            PeerUp("c"), Inbound("b", "votes", b"1"), Inbound("a", "votes", b"2"), None,
        ]  # fmt: skip
        assert drain(box) == [Inbound("a", "bulk", b"bulk")]

    trio.run(main)


def test_events_come_first_and_a_flapping_link_costs_two_entries() -> None:
    box = inbox()
    box.put_vote("a", b"vote")
    for _ in range(100):
        box.put_event(PeerUp("a"))
        box.put_event(PeerDown("a"))
    assert drain(box) == [PeerUp("a"), PeerDown("a"), Inbound("a", "votes", b"vote")]


def test_votes_go_before_bulk_but_do_not_starve_it() -> None:
    async def main() -> list[str]:
        box = inbox(max_frames=1000, votes_bytes=10_000)
        await box.put("bulk", "a", b"bulk")
        for _ in range(100):
            box.put_vote("b", b"vote")
        return [item.channel for item in drain(box) if isinstance(item, Inbound)]

    order = trio.run(main)
    assert order.index("bulk") == VOTES_PER_OTHER


def test_bulk_and_custody_take_turns_behind_the_votes_and_members_within_each() -> None:
    async def main() -> list[tuple[str, str]]:
        box = inbox(max_frames=1000, votes_bytes=10_000, bulk_bytes=10_000)
        for _ in range(20):
            await box.put("custody", "flood", b"custody")
        await box.put("custody", "b", b"custody")
        for _ in range(3):
            await box.put("bulk", "a", b"bulk")
        box.put_vote("b", b"vote")
        return [(item.channel, item.member) for item in drain(box) if isinstance(item, Inbound)]

    order = trio.run(main)
    assert order[:7] == [
        ("votes", "b"), ("bulk", "a"), ("custody", "flood"), ("bulk", "a"), ("custody", "b"),
        ("bulk", "a"), ("custody", "flood"),
    ]  # fmt: skip
    assert len(order) == 25


def test_custody_that_nobody_takes_holds_up_neither_bulk_nor_votes() -> None:
    async def main() -> list[str]:
        box = inbox(max_frames=2)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(box.put, "custody", "a", b"c")
            await trio.testing.wait_all_tasks_blocked()
            await box.put("bulk", "a", b"bulk")
            box.put_vote("a", b"vote")
            first = [box.receive_nowait() for _ in range(2)]
            drain(box)
        return [item.channel for item in first if isinstance(item, Inbound)]

    assert trio.run(main) == ["votes", "bulk"]


def test_bulk_waits_for_room_and_only_its_own_member_waits() -> None:
    async def main() -> None:
        box = inbox(max_frames=2)
        state: list[str] = []

        async def put(member: str, frame: bytes) -> None:
            await box.put("bulk", member, frame)
            state.append(f"{member} {frame.decode()}")

        async with trio.open_nursery() as nursery:
            await put("a", b"1")
            await put("a", b"2")
            nursery.start_soon(put, "a", b"3")
            await trio.testing.wait_all_tasks_blocked()
            await put("b", b"1")
            assert state == ["a 1", "a 2", "b 1"]
            assert await box.receive() == Inbound("a", "bulk", b"1")
            await trio.testing.wait_all_tasks_blocked()
            assert state[-1] == "a 3"
        assert len(drain(box)) == 3

    trio.run(main)


def test_what_a_removed_member_sent_is_dropped_and_its_reader_is_let_go() -> None:
    async def main() -> None:
        box = inbox(max_frames=1)
        async with trio.open_nursery() as nursery:
            box.put_vote("a", b"vote")
            await box.put("bulk", "a", b"1")
            nursery.start_soon(box.put, "bulk", "a", b"2")
            await trio.testing.wait_all_tasks_blocked()
            box.put_vote("b", b"stays")
            box.forget("a")
        assert drain(box) == [Inbound("b", "votes", b"stays")]

    trio.run(main)


def test_a_closed_inbox_gives_what_waits_and_then_ends() -> None:
    async def main() -> list[Item]:
        box = inbox()
        box.put_vote("a", b"vote")
        await box.aclose()
        return [item async for item in box]

    assert trio.run(main) == [Inbound("a", "votes", b"vote")]


def test_the_reader_wakes_for_a_vote_an_event_and_the_end() -> None:
    async def main() -> None:
        box = inbox()
        got: list[Item] = []

        async def reader() -> None:
            got.extend([item async for item in box])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            for put in (lambda: box.put_vote("a", b"v"), lambda: box.put_event(PeerUp("a")), box.close):
                await trio.testing.wait_all_tasks_blocked()
                put()
        assert got == [Inbound("a", "votes", b"v"), PeerUp("a")]

    trio.run(main)
