"""Documents wait while transactions do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from node.custody.pace import PAUSE_S, SLOW_S, Pace


def play(story: Callable[[Pace, dict[bytes, None]], Awaitable[None]]) -> None:
    """A pace over a pool, on a clock that jumps."""

    async def main() -> None:
        pool: dict[bytes, None] = {}
        pace = Pace(lambda: next(reversed(pool), None), lambda tx_id: tx_id in pool)
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
    async def story(pace: Pace, _pool: dict[bytes, None]) -> None:
        await trio.sleep(10)
        assert await took(pace) == 0

    play(story)


def test_transactions_that_get_their_block_soon_hold_nothing_back() -> None:
    async def story(pace: Pace, pool: dict[bytes, None]) -> None:
        for number in range(20):
            pool[bytes([number])] = None
            await trio.sleep(SLOW_S / 2)
            pool.clear()
            assert await took(pace) == 0

    play(story)


def test_transactions_that_wait_hold_pieces_back_until_they_are_through() -> None:
    async def story(pace: Pace, pool: dict[bytes, None]) -> None:
        for number in range(20):
            pool[bytes([number])] = None
            await trio.sleep(SLOW_S / 4)
            if len(pool) > 8:
                del pool[next(iter(pool))]
        assert pace.slow
        assert await took(pace) == PAUSE_S
        pool.clear()
        await trio.sleep(0.2)
        pool[b"next"] = None
        await trio.sleep(0.2)
        pool.clear()
        await trio.sleep(0.2)
        assert not pace.slow
        assert await took(pace) == 0

    play(story)
