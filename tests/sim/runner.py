"""Many seeds over worker processes, and what came of them."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.sim.faults import draw
from tests.sim.trace import lines
from tests.sim.world import Result, World

CHUNK: Final = 20
"""Seeds a worker takes at once."""


@dataclass(frozen=True)
class Job:
    """One seed with n in [low, high]; ``ed25519`` for real signatures."""

    seed: int
    low: int = 4
    high: int = 7
    ed25519: bool = False


@dataclass
class Summary:
    """Sums over runs. ``seconds`` is wall time."""

    runs: int = 0
    events: int = 0
    heights: int = 0
    acknowledged: int = 0
    slowest_progress: int = 0
    seconds: float = 0.0
    sizes: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one run."""
        self.runs += 1
        self.events += result.events
        self.heights += result.storm_heights
        self.acknowledged += result.acknowledged
        self.sizes[result.n] += 1
        self.kinds.update(result.kinds)
        if result.violation is None:
            self.slowest_progress = max(self.slowest_progress, result.progressed_after)
        else:
            self.failures.append(result)

    def text(self) -> str:
        """The report in a few lines."""
        rate = self.events / max(self.seconds, 0.001)
        sizes = ", ".join(f"n={n}: {count}" for n, count in sorted(self.sizes.items()))
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.runs} seeds ({sizes}): {len(self.failures)} violations; "
            f"{self.heights} heights decided under faults, {self.acknowledged} transactions acknowledged\n"
            f"{self.events} events in {self.seconds:.1f} s: {rate:.0f} events/s; "
            f"slowest progress after healing {self.slowest_progress} ms of virtual time\n"
            f"faults (seeds with each): {kinds}"
        )


def run_one(job: Job) -> Result:
    """The run of one seed."""
    return World(draw(job.seed, job.low, job.high), ed25519=job.ed25519).run()


def run_many(jobs: Iterable[Job], workers: int = 1, *, stop_at_first: bool = False) -> Summary:
    """Run all, or until the first violation. The order of results never matters: each run is its seed's alone."""
    summary, start = Summary(), time.monotonic()
    with _results(list(jobs), workers) as results:
        for result in results:
            summary.add(result)
            if stop_at_first and summary.failures:
                break
    summary.seconds = time.monotonic() - start
    return summary


def explain(job: Job, count: int = 200) -> str:
    """The last lines of a run, its plan and its violation: the same seed gives the same run again."""
    world = World(draw(job.seed, job.low, job.high), ed25519=job.ed25519, trace=True)
    result = world.run()
    story = lines(world.trace or ())[-count:]
    return "\n".join([f"seed {job.seed}: {world.plan}", *story, f"seed {job.seed}: {result.violation}"])


@contextmanager
def _results(jobs: list[Job], workers: int) -> Iterator[Iterable[Result]]:
    if workers <= 1:
        yield map(run_one, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield pool.imap_unordered(run_one, jobs, chunksize=CHUNK)
