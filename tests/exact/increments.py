"""Exactness of the increments: many random histories, the contract's ladder against rational numbers.

    python -m tests.exact.increments [HISTORIES]

Every step of every history is compared to the last minor unit, and 0 <= sum(g) <= M is checked after each.
"""

from __future__ import annotations

import sys
from random import Random

from contracts import increments
from contracts.increments import Ladder
from tests.exact.increments_by_fractions import (
    Attain,
    Close,
    Correct,
    History,
    Undo,
    granted,
    headroom,
    random_history,
)

HISTORIES = 20_000


def check(history: History) -> int:
    """Walk one history on both sides; gives how many steps were compared. Raises AssertionError at a difference."""
    names = [f"m{position}" for position in range(len(history.weights))]
    ladder = Ladder(history.m, tuple(zip(names, history.weights, strict=True)), ())
    attained: set[str] = set()
    period = 1
    for upto, step in enumerate(history.steps, start=1):
        if isinstance(step, Attain):
            attained.add(names[step.milestone])
        elif isinstance(step, Undo):
            before = dict(ladder.grants).get(names[step.milestone])
            attained.discard(names[step.milestone])
            ladder, taken = increments.undo(ladder, attained)
            assert taken == (() if before is None else ((names[step.milestone], before),)), (history, upto)
        elif isinstance(step, Close):
            ladder, fresh = increments.close(ladder, attained, period, step.credibility)
            assert all(held.period == period for _, held in fresh)
            period += 1
        elif isinstance(step, Correct):
            ladder = increments.correct(ladder, step.m)
        expected = [granted(history, upto, milestone) for milestone in range(len(names))]
        held = dict(ladder.grants)
        found = [held[name].amount if name in held else 0 for name in names]
        assert found == expected, (history, upto, found, expected)
        assert ladder.headroom == headroom(history, upto)
        assert 0 <= ladder.granted <= ladder.headroom, (history, upto)
    return len(history.steps)


def run(histories: int, seed: int) -> int:
    """Check random histories of one seed; gives how many steps were compared."""
    chance = Random(seed)
    return sum(check(random_history(chance)) for _ in range(histories))


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else HISTORIES
    print(f"{wanted} histories, {run(wanted, seed=20)} steps: equal to the last unit, 0 <= sum <= M in each")
