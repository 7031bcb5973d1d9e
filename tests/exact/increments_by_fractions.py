"""Increments by rational numbers: DOMAIN 7 read literally, knowing nothing of contracts/increments.py.

A history is a list of steps. This reading keeps no running state: at every step it goes through the whole history
again, milestone by milestone, and asks which period granted it last and whether it still stands.
"""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random
from typing import NamedTuple

UNIT = Fraction(1, 10_000)  # one basis point


class Attain(NamedTuple):
    """The milestone's share of the contract is reached."""

    milestone: int


class Undo(NamedTuple):
    """It is no longer: a return, a cancellation, a dispute upheld."""

    milestone: int


class Close(NamedTuple):
    """The period ends. credibility: its E in basis points, None without new records."""

    credibility: int | None


class Correct(NamedTuple):
    """The contract is corrected: the headroom is now M."""

    m: int


Step = Attain | Undo | Close | Correct


class History(NamedTuple):
    """M at approval, the weights by milestone, and what happened, in order."""

    m: int
    weights: tuple[int, ...]
    steps: tuple[Step, ...]


def granted(history: History, upto: int, milestone: int) -> int:
    """What one milestone holds after the first `upto` steps, minor units."""
    credibility: Fraction | None = None  # of the close that granted it
    standing = False
    m = Fraction(history.m)
    for step in history.steps[:upto]:
        if isinstance(step, Correct):
            m = Fraction(step.m)
        elif isinstance(step, Attain) and step.milestone == milestone:
            standing = True
        elif isinstance(step, Undo) and step.milestone == milestone:
            standing, credibility = False, None
        elif isinstance(step, Close) and standing and credibility is None and step.credibility is not None:
            credibility = step.credibility * UNIT
    if credibility is None:
        return 0
    return math.floor(m * Fraction(history.weights[milestone], sum(history.weights)) * credibility)


def headroom(history: History, upto: int) -> int:
    """M after the first `upto` steps."""
    corrections = [step.m for step in history.steps[:upto] if isinstance(step, Correct)]
    return corrections[-1] if corrections else history.m


def random_history(chance: Random) -> History:
    """Attain, undo, attain again, periods with and without data, E from 0 to 1, M from 0 up, corrections."""
    count = chance.choice((1, 1, 2, 3, 5, 8))
    weights = tuple(chance.choice((1, 1, 2, 3, 7, 10, 1_000)) for _ in range(count))
    m = chance.choice((0, 1, 9_999, chance.randrange(10**6), chance.randrange(10**12), 2**53))
    steps: list[Step] = []
    for _ in range(chance.randrange(1, 24)):
        milestone, roll = chance.randrange(count), chance.random()
        if roll < 0.35:
            steps.append(Attain(milestone))
        elif roll < 0.55:
            steps.append(Undo(milestone))
        elif roll < 0.95:
            data = chance.random() < 0.8
            credibility = chance.choice((0, 1, 3_333, 9_999, 10_000, chance.randrange(10_001)))
            steps.append(Close(credibility if data else None))
        else:
            steps.append(Correct(chance.choice((0, m // 2, m, chance.randrange(10**9)))))
    return History(m, weights, tuple(steps))
