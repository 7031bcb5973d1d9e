"""Whose turn it is to anchor, and what: read from the consortium chain's state, the same on every node.

The ``anchor`` contract closes an interval after so many blocks or so much time, and names the validator on duty
for it: number ``interval mod n``. Each following validator takes over when the one before it is late. What is
anchored is the log up to the block that closed the interval; so all of them would anchor the same bytes. The duty
is kept for each place by itself: who has no account on a public chain is late there, and on duty at an authority.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from chain.codec import Value
from contracts import anchor_kinds
from contracts.anchor_kinds import Reached

Read = Callable[..., Value]
"""``(contract, *key parts)`` → the value in the consortium chain's state as of the newest block, or None."""


class Standing(NamedTuple):
    """What the consortium chain says of anchoring.

    interval: index of the last closed one (0 before the first); height: the block that closed it; anchored: the size
    that the policy counts as anchored; anchored_at: block time it grew to that, ms, of genesis before; rank: how many
    validators come before this one, 0 on duty, None where this member is no validator; reached: how far each place
    has come; classes: how far each class that the policy needs.
    """

    interval: int
    height: int
    anchored: int
    anchored_at: int
    rank: int | None
    reached: Mapping[str, Reached]
    classes: Mapping[str, Reached]

    def confirmed(self, place: str | None) -> int:
        """The largest size confirmed for a place, whether or not it counts as one for trying things out."""
        if place is None:
            return 0
        base = place.removesuffix(anchor_kinds.DEVELOPMENT)
        none = Reached(0, 0)
        return max(self.reached.get(base, none).size, self.reached.get(base + anchor_kinds.DEVELOPMENT, none).size)


def standing(read: Read, member: str) -> Standing:
    """Read the standing from state, as the contracts ``anchor`` and ``gov`` keep it."""
    interval: Any = read("anchor", "interval")
    size: Any = read("anchor", "anchored") or 0
    since: Any = read("anchor", "anchored_at") or 0
    reached: Any = read("anchor", "reached") or {}
    parameters: Any = read("gov", "parameters")
    validators: Any = read("gov", "validators")
    members = [row[0] for row in validators["set"]]
    index = interval["index"]
    rank = (members.index(member) - index) % len(members) if member in members else None
    places = {place: Reached(*entry) for place, entry in reached.items()}
    classes = anchor_kinds.covered(reached, parameters)
    return Standing(index, interval["height"], size, since, rank, places, classes)


class Turn:
    """Remembers since when an interval is due here, to tell when those before this validator are late."""

    def __init__(self, takeover_seconds: int) -> None:
        self._takeover = takeover_seconds * 1000
        self._interval = -1
        self._since = 0

    def due(self, view: Standing, log_size: int, covered: int, now: int) -> int | None:
        """The size to anchor now, or None.

        covered: the largest size anchored or on its way from here; now: ms. None where nothing is due, the log
        does not reach the interval's end yet, or it is another validator's turn.
        """
        if view.interval != self._interval:
            self._interval, self._since = view.interval, now
        if view.rank is None or not covered < view.height <= log_size:
            return None
        return view.height if now - self._since >= view.rank * self._takeover else None
