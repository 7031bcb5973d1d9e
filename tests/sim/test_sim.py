"""Agreement under faults: thousands of seeded runs of the real core, signer, execution and store."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.sim.faults import draw
from tests.sim.runner import Job, explain, run_many, run_one
from tests.sim.world import STORM_HEIGHTS

WORKERS = min(2, os.cpu_count() or 1)
QUICK_SEEDS = 60
SEEDS = 2_000
ED25519_SEEDS = 50
LARGE_SEEDS = 8


def check(jobs: list[Job], sizes: range = range(4, 8)) -> None:
    """Run all; fail with the trace of the first violation. Every size must have come up."""
    summary = run_many(jobs, WORKERS)
    print(summary.text())
    if summary.failures:
        failed = summary.failures[0]
        pytest.fail(explain(next(job for job in jobs if job.seed == failed.seed)))
    assert summary.runs == len(jobs)
    assert summary.heights >= STORM_HEIGHTS * len(jobs)
    assert set(summary.sizes) == set(sizes)


def test_a_few_seeds() -> None:
    check([Job(seed) for seed in range(QUICK_SEEDS)])


@pytest.mark.slow
def test_thousands_of_seeds() -> None:
    check([Job(seed) for seed in range(QUICK_SEEDS, QUICK_SEEDS + SEEDS)])


@pytest.mark.slow
def test_seeds_with_real_signatures() -> None:
    check([Job(seed, ed25519=True) for seed in range(ED25519_SEEDS)])


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 13, 16])
def test_larger_consortia(n: int) -> None:
    check([Job(seed, n, n) for seed in range(LARGE_SEEDS)], range(n, n + 1))


def test_a_seed_is_always_the_same_run() -> None:
    for seed in (3, 17):
        assert run_one(Job(seed)) == run_one(Job(seed))


def test_the_hash_seed_of_python_changes_nothing() -> None:
    code = "from tests.sim.runner import Job, run_one; print([run_one(Job(seed)) for seed in range(8)])"
    said = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        said.add(
            subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
        )
    assert len(said) == 1


def test_the_table_and_real_signatures_give_the_same_run() -> None:
    assert run_one(Job(5)) == run_one(Job(5, ed25519=True))


def test_every_plan_has_three_kinds_of_fault_and_at_most_f_liars() -> None:
    for seed in range(500):
        plan = draw(seed)
        assert len(plan.kinds) >= 3
        assert len(plan.byzantine) <= (plan.n - 1) // 3
