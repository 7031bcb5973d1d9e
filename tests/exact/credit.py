"""Exactness of ratings and initial limit: many random histories, the contracts against rational numbers.

    python -m tests.exact.credit [--histories N] [--seed N]

Each history is sealed record by record through the real contracts and assessed; every rating, grade, the composite,
q, the contract's strength and the limit must equal `credit_by_fractions` to the last unit.
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random
from typing import Any

from tests.exact import credit_by_fractions
from tests.exact.credit_histories import History

COMPARED = ("composite", "qualification", "contract_strength", "formula_limit", "limit")


def check(seed: int) -> dict[str, Any]:
    """Compare one history. Gives the assessment. Raises AssertionError naming the seed and what differs."""
    history = History(Random(seed))
    case = history.play()
    expected = credit_by_fractions.assess(case)
    found = history.assessed()
    for name, (value, grade, points) in expected["ratings"].items():
        rating = found["ratings"][name]
        said = (rating["value"], rating["grade"], rating["points"])
        assert said == (value, grade, points), f"seed {seed}: {name} is {said}, by hand {(value, grade, points)}"
    for name in COMPARED:
        assert found[name] == expected[name], f"seed {seed}: {name} is {found[name]}, by hand {expected[name]}"
    statuses = [paper.fate for paper in case.of("bill")]
    return {**found, "records": len(case.of("process", "bill")), "fates": statuses}


def main(arguments: list[str]) -> int:
    """Check as many histories as asked for; says what they held."""
    parser = argparse.ArgumentParser(prog="python -m tests.exact.credit")
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    started = time.monotonic()
    checked = [check(seed) for seed in range(asked.seed, asked.seed + asked.histories)]
    fates = [fate for found in checked for fate in found["fates"]]
    print(f"{len(checked)} histories equal to the last unit, in {time.monotonic() - started:.0f} s")
    print(f"{sum(found['records'] for found in checked)} process records and bills in force")
    print(f"bills: {', '.join(f'{fates.count(fate)} {fate}' for fate in sorted(set(fates)))}")
    print(f"{sum(found['limit'] > 0 for found in checked)} with a limit")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
