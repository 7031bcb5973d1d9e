"""What goes wrong in a run: drawn from its seed alone, at least three kinds at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from chain.certificate import faults
from consensus.messages import Commit, Prepare, PrePrepare, SignedMessage
from tests.sim.consortium import member_ids

if TYPE_CHECKING:
    from tests.sim.world import World

LEAST_KINDS: Final = 3
BEHAVIOURS: Final = ("equivocate", "equivocate", "lie", "lie", "withhold", "silent")
"""What a Byzantine validator does; weighted by what it can break."""


SCRIPTS: Final = (
    (),
    (),
    ("few prepares", "few commits", "fair"),
    ("few prepares", "few commits", "few commits", "fair"),
    ("few commits", "fair"),
)
"""Situations that break agreement where a rule is missing: two locks in different rounds, or one that few know of."""


@dataclass(frozen=True)
class Plan:
    """One run's faults. Times in virtual ms, chances 0 to 1."""

    seed: int
    n: int
    byzantine: dict[str, str] = field(default_factory=dict)
    """Member id to behaviour; at most f."""
    schedule: str = "random"
    """"grouped": who hears whom is drawn anew for each (height, round); "random": any message may be lost or late."""
    script: tuple[str, ...] = ()
    """The weather of rounds 0, 1, … of every height; beyond it, and where there is none, it is drawn."""
    nasty_rounds: int = 2
    """Rounds of a height in which the schedule is at its worst."""
    calm_at: int = 60_000
    """From here on only mild faults, so that heights are decided under faults at all."""
    drop: float = 0.0
    duplicate: float = 0.0
    delay_ms: int = 50
    partition_every: int = 0
    crash_after_sign: float = 0.0
    crash_after_send: float = 0.0
    crash_on_commit: float = 0.0
    crashes: tuple[int, ...] = ()
    skew_ms: int = 0
    sign_ms: int = 0
    execute_ms: int = 0
    store_ms: int = 0
    late_timers: float = 0.0
    on_the_wire: bool = False
    """Every message passes through its canonical bytes."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of fault in this run."""
        crashing = self.crash_after_sign or self.crash_after_send or self.crash_on_commit or self.crashes
        present = {
            "drop": self.drop or self.schedule == "grouped",
            "reorder": self.delay_ms > 30,
            "duplicate": self.duplicate,
            "partition": self.partition_every or self.schedule == "grouped",
            "crash": crashing,
            "skew": self.skew_ms,
            "slow disk": self.sign_ms or self.store_ms or self.execute_ms,
            "late timers": self.late_timers,
            **dict.fromkeys(self.byzantine.values(), True),
        }
        return tuple(sorted(kind for kind, is_there in present.items() if is_there))

    def crashes_after_sign(self, world: World, message: SignedMessage) -> bool:
        """The vote is in the journal, nobody heard it."""
        return self._is_vote(message) and self._strikes(world, self.crash_after_sign)

    def crashes_after_send(self, world: World, message: object) -> bool:
        """Others have the vote, the voter forgets everything but its journal."""
        return self._is_vote(message) and self._strikes(world, self.crash_after_send)

    def _strikes(self, world: World, chance: float) -> bool:
        """Crashes go on in the calm, but not so many that nothing is ever decided."""
        return world.random.random() < (chance if world.now < self.calm_at else chance / 8)

    @staticmethod
    def _is_vote(message: object) -> bool:
        return isinstance(message, PrePrepare | Prepare | Commit)


def draw(seed: int, low: int = 4, high: int = 7) -> Plan:
    """The plan of a seed, for n from low to high."""
    random = Random(f"plan {seed}")
    while True:
        plan = _draw(random, seed, random.randint(low, high))
        if len(plan.kinds) >= LEAST_KINDS:
            return plan


def _draw(random: Random, seed: int, n: int) -> Plan:
    grouped = random.random() < 0.7
    liars = random.choice((0, faults(n), faults(n), faults(n), faults(n)))
    crashing = random.choice(("none", "vote", "vote", "any"))
    slow = random.random() < 0.4
    return Plan(
        seed=seed,
        n=n,
        byzantine={member: random.choice(BEHAVIOURS) for member in random.sample(member_ids(n), liars)},
        schedule="grouped" if grouped else "random",
        script=random.choice(SCRIPTS) if grouped else (),
        nasty_rounds=random.choice((1, 2, 3, 3, 4, 5)),
        calm_at=random.choice((30_000, 60_000)),
        drop=random.choice((0.0, 0.05, 0.2, 0.4)),
        duplicate=random.choice((0.0, 0.0, 0.1)),
        delay_ms=random.choice((20, 200, 200, 3_000)),
        partition_every=0 if grouped else random.choice((0, 6_000, 15_000)),
        crash_after_sign=random.choice((0.02, 0.1)) if crashing == "vote" else 0.0,
        crash_after_send=random.choice((0.02, 0.1, 0.25)) if crashing == "vote" else 0.0,
        crash_on_commit=random.choice((0.0, 0.2)),
        crashes=tuple(random.randrange(40_000) for _ in range(random.choice((0, 2, 5)))) if crashing == "any" else (),
        skew_ms=random.choice((0, 300, 900)),
        sign_ms=random.choice((5, 40, 400)) if slow else 0,
        execute_ms=random.choice((20, 300)) if slow else 0,
        store_ms=random.choice((20, 300, 2_000)) if slow else 0,
        late_timers=random.choice((0.0, 0.0, 0.5)),
        on_the_wire=random.random() < 0.1,
    )
