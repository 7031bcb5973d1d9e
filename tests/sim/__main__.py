"""``python -m tests.sim --seeds N``: run many seeds, print what came of them; exit 1 at a violation, traced."""

from __future__ import annotations

import argparse
import sys

from tests.sim.runner import Job, explain, run_many


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many runs (200)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--nodes", default="4-7", help="validators: one number or a range (4-7)")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes (2)")
    parser.add_argument("--ed25519", action="store_true", help="real signatures in the place of the table")
    parser.add_argument("--first", action="store_true", help="stop at the first violation")
    parser.add_argument("--trace", type=int, default=200, metavar="LINES", help="lines of a failed run's end (200)")
    given = parser.parse_args()
    low, _, high = given.nodes.partition("-")
    jobs = [
        Job(seed, int(low), int(high or low), given.ed25519) for seed in range(given.start, given.start + given.seeds)
    ]
    summary = run_many(jobs, given.jobs, stop_at_first=given.first)
    for failure in summary.failures:
        print(f"seed {failure.seed}, n = {failure.n}: {failure.violation}")
    if summary.failures and given.trace:
        print(explain(next(job for job in jobs if job.seed == summary.failures[0].seed), given.trace))
    print(summary.text())
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
