"""Measures how many planted fakes are noticed and how many clean bills are not left in peace.

    python -m tests.fakes                    200 clean histories and 200 of each kind of fake, some minutes
    python -m tests.fakes --histories 1000

Prints the table of docs/fakes.md; exits with 1 below 95 % caught or above 2 % false alarms, of any kind.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from tests.fakes.measure import Score, measure

CAUGHT = 0.95
FALSE = 0.02


def row(kind: str, score: Score) -> str:
    at_once = sum(1 for days in score.days if days <= 0) / score.planted
    middle = statistics.median(score.days) if score.days else "-"
    return (
        f"| {kind} | {score.planted} | {score.caught_share:.1%} | {at_once:.1%} | {middle:g} "
        f"| {score.false_alarms} of {score.clean} | {score.false_share:.2%} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes", description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=200, help="clean histories, and histories of each kind")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    scores = measure(given.histories, given.seed)
    print(
        "| kind | planted | caught | in the block that shows it | days, median | false alarms, clean bills | share |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind, score in scores.items():
        print(row(kind, score))
    passed = all(s.caught_share >= CAUGHT and s.false_share <= FALSE for s in scores.values())
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
