"""Documents wait while transactions do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from node.custody.messages import MAX_PIECE
from node.custody.pace import MOST_PAUSES, PAUSE_S, SLOW_BLOCKS, SLOW_S, Pace

BLOCK_S = 0.3


class Pool:
    """Transactions that wait, and the blocks so far."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, None] = {}
        self.height = 0
        self._serial = 0

    def add(self, count: int) -> None:
        for _ in range(count):
            self._serial += 1
            self.waiting[self._serial.to_bytes(4, "big")] = None

    def block(self, most: int) -> None:
        """The oldest, up to so many, are in a block."""
        self.height += 1
        for tx_id in list(self.waiting)[:most]:
            del self.waiting[tx_id]


def play(story: Callable[[Pace, Pool], Awaitable[None]]) -> None:
    """A pace over a pool, on a clock that jumps."""

    async def main() -> None:
        pool = Pool()
        pace = Pace(
            lambda: next(reversed(pool.waiting), None), lambda tx_id: tx_id in pool.waiting, lambda: pool.height
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pace.run)
            await story(pace, pool)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def took(pace: Pace) -> float:
    began = trio.current_time()
    await pace(1000)
    return trio.current_time() - began


def test_nothing_waits() -> None:
    async def story(pace: Pace, _pool: Pool) -> None:
        await trio.sleep(10)
        assert await took(pace) == 0

    play(story)


@pytest.mark.parametrize("block_s", [BLOCK_S, 2.0])
def test_a_network_that_takes_all_that_comes_holds_nothing_back_however_slow_its_blocks(block_s: float) -> None:
    async def story(pace: Pace, pool: Pool) -> None:
        for _ in range(20):
            pool.add(50)
            await trio.sleep(block_s)
            pool.block(100)
            assert await took(pace) == 0

    play(story)


def test_one_that_cannot_take_all_holds_pieces_back_until_it_can() -> None:
    async def story(pace: Pace, pool: Pool) -> None:
        for _ in range(20):
            pool.add(100 if len(pool.waiting) < 500 else 50)
            await trio.sleep(BLOCK_S)
            pool.block(50)
        assert await took(pace) == pytest.approx(PAUSE_S)
        for _ in range(2 * SLOW_BLOCKS):
            pool.add(1)
            await trio.sleep(BLOCK_S)
            pool.block(1000)
        assert await took(pace) == 0

    play(story)


def test_one_that_agrees_on_nothing_holds_pieces_back() -> None:
    async def story(pace: Pace, pool: Pool) -> None:
        pool.add(1)
        await trio.sleep(SLOW_S + 1)
        assert await took(pace) == pytest.approx(PAUSE_S)

    play(story)


def test_documents_are_taken_in_as_slowly_as_they_are_handed_on_but_nobody_waits_for_ever() -> None:
    async def taken(pace: Pace, size: int) -> float:
        began = trio.current_time()
        await pace.take_in(size)
        return trio.current_time() - began

    async def story(pace: Pace, pool: Pool) -> None:
        assert await taken(pace, 100 * MAX_PIECE) == 0
        pool.add(1)
        await trio.sleep(SLOW_S + 1)
        assert await taken(pace, 1) == pytest.approx(PAUSE_S)
        assert await taken(pace, 3 * MAX_PIECE) == pytest.approx(3 * PAUSE_S)
        assert await taken(pace, 1000 * MAX_PIECE) == pytest.approx(MOST_PAUSES * PAUSE_S)

    play(story)
