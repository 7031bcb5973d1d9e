"""Increments by milestone ([20], DOMAIN 7): a pure integer state machine, one ladder for each credit line.

A milestone attained in a period t with new records grants `g_j = M * w_j * E_t // (W * B)`, W being the sum of all
weights and E_t the conformity of that period's new records alone. Undone, it takes back exactly its g_j; attained
again, it is granted at the E of that later period. So for every history of the ladder

    0 <= sum(g) <= M,   because   sum(M * w_j * E_j // (W * B)) <= M * B * sum(w_j) / (W * B) <= M.

A milestone attained in a period without new records waits: it is granted at the close of the next period that has
some. M is that of the approval. A correction of the contract changes it to `correct`'s headroom, and every standing
grant is stated anew from its own E, so the bound holds with the new M too.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from contracts.statistics import B


class Grant(NamedTuple):
    """What a milestone holds: minor units, the period that granted it, and that period's E in basis points."""

    amount: int
    period: int
    credibility: int


class Ladder(NamedTuple):
    """A line's milestones. headroom: M, minor units. weights: (id, weight), not all 0, in their order, ids unique.

    grants: (id, grant) of those granted now, in the order of weights.
    """

    headroom: int
    weights: tuple[tuple[str, int], ...]
    grants: tuple[tuple[str, Grant], ...]

    @property
    def granted(self) -> int:
        """Sum of all standing grants, minor units."""
        return sum(grant.amount for _, grant in self.grants)


def headroom(contract_net: int, obligor_cap: int | None, initial: int) -> int:
    """M = max(0, min(C', obligor cap) - L0), minor units. obligor_cap None is no cap."""
    ceiling = contract_net if obligor_cap is None else min(contract_net, obligor_cap)
    return max(0, ceiling - initial)


def is_attained(value: int, share_bp: int, contract_net: int) -> bool:
    """Whether a stage's minor units reach a milestone's share of C'; never while C' is 0."""
    return contract_net > 0 and value * B >= share_bp * contract_net


def grant(m: int, weight: int, total_weight: int, credibility: int) -> int:
    """g = M * w * E // (W * B), rounded down. 0 <= weight <= total_weight, total_weight > 0, E in 0..B."""
    if not 0 <= credibility <= B or not 0 <= weight <= total_weight or m < 0:
        raise ValueError(f"no grant of M {m}, weight {weight} of {total_weight}, E {credibility}")
    return m * weight * credibility // (total_weight * B)


def completion(ladder: Ladder, attained: Collection[str]) -> int | None:
    """K = B * sum(w attained) // sum(w), basis points; None without milestones."""
    total = _total(ladder)
    return None if total == 0 else B * sum(w for name, w in ladder.weights if name in attained) // total


def close(
    ladder: Ladder, attained: Collection[str], period: int, credibility: int | None
) -> tuple[Ladder, tuple[tuple[str, Grant], ...]]:
    """Close a period: the ladder with what is newly granted, and those grants. credibility None: no new records."""
    if credibility is None:
        return ladder, ()
    held, total = dict(ladder.grants), _total(ladder)
    fresh = {
        name: Grant(grant(ladder.headroom, weight, total, credibility), period, credibility)
        for name, weight in ladder.weights
        if name in attained and name not in held
    }
    return _with(ladder, held | fresh), tuple(fresh.items())


def undo(ladder: Ladder, attained: Collection[str]) -> tuple[Ladder, tuple[tuple[str, Grant], ...]]:
    """Take back what no longer stands: the ladder without it, and exactly the grants it held."""
    taken = tuple((name, held) for name, held in ladder.grants if name not in attained)
    gone = {name for name, _ in taken}
    return _with(ladder, {name: held for name, held in ladder.grants if name not in gone}), taken


def correct(ladder: Ladder, m: int) -> Ladder:
    """Another headroom: each standing grant as it would have been under it, at its own E."""
    total, weights = _total(ladder), dict(ladder.weights)
    restated = {
        name: held._replace(amount=grant(m, weights[name], total, held.credibility)) for name, held in ladder.grants
    }
    return _with(ladder._replace(headroom=m), restated)


def _total(ladder: Ladder) -> int:
    return sum(weight for _, weight in ladder.weights)


def _with(ladder: Ladder, grants: dict[str, Grant]) -> Ladder:
    ordered = tuple((name, grants[name]) for name, _ in ladder.weights if name in grants)
    return ladder._replace(grants=ordered)
