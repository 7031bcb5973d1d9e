"""Measures the bundle's verifier against random mutants: no accepted bundle states a different fact.

    python -m tests.evidence_mutations --count 100000 --seed 1

Each mutant is one to three random changes of a real case's bundle (tests/evidence/mutator.py), sealed again by the
claimant's own key with every checksum made anew; half of them also with case.json and the pages made anew from what
the changed proofs say, as a forger would who has this program. An accepted one must state exactly the original's
facts, and no earlier public time. So that 100,000 take minutes, what a proof comes to is remembered by its bytes.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from unittest.mock import patch

from chain.verification import verify_proof
from tallystick.evidence import FAIL, verify_bundle
from tallystick.evidence import case as bundle_case
from tallystick.evidence import checks as bundle_checks
from tallystick.evidence.archive import ArchiveError
from tallystick.evidence.contents import open_proof
from tests.evidence.forger import Forger
from tests.evidence.mutator import Mutator
from tests.evidence_bundle import Publics, anchor, bundle, told

REMEMBERED: Final = 4_096
SHOWN: Final = 5


@dataclass
class Report:
    """What came of the mutants. accepted: those that passed; wrong: those that state something else."""

    mutants: int = 0
    accepted: int = 0
    refused_by: Counter[str] = field(default_factory=Counter)
    first: Counter[str] = field(default_factory=Counter)
    """By the first check that failed."""
    wrong: list[tuple[str, bytes]] = field(default_factory=list)


class Scene:
    """The real bundle, what its verifier trusts, and bundles that a forger has besides."""

    def __init__(self) -> None:
        self.publics = Publics()
        self.world = told(self.publics)
        checkpoint = anchor(self.world, self.publics)
        self.network_id = self.world.network_id
        self.trusted = self.publics.trusted()
        key = self.world.signer("bank")
        self.honest = Forger.of(bundle(self.world, checkpoint.size), key)
        older = Forger.of(bundle(self.world, self.world.state("court", "case", self.world.case)["height"]), key)
        other = Forger.of(bundle(self.world, checkpoint.size, papers=(), opened=()), key)
        self.others = (older, other, self._stranger())

    @staticmethod
    def _stranger() -> Forger:
        """The same story in a consortium of the forger's own."""
        publics = Publics("forger")
        world = told(publics, "forged")
        checkpoint = anchor(world, publics)
        return Forger.of(bundle(world, checkpoint.size), world.signer("bank"))


def run(scene: Scene, count: int, seed: int, told: Callable[[int, Report], None] = lambda _n, _r: None) -> Report:
    """Try so many mutants."""
    chance = random.Random(seed)
    mutator = Mutator(scene.honest, scene.others, chance)
    original = verify_bundle(scene.honest.sealed(), scene.network_id, scene.trusted)
    assert original.status != FAIL, original.failed
    report = Report()
    with remembered():
        for number in range(count):
            what, forger = mutator.mutant()
            if chance.random() < 0.5:
                forger = forger.restated()
            try:
                made = forger.sealed()
            except ArchiveError:
                continue
            report.mutants += 1
            verdict = verify_bundle(made, scene.network_id, scene.trusted)
            _lines_can_be_shown(verdict)
            if verdict.status == FAIL:
                report.refused_by.update(verdict.failed)
                report.first[verdict.failed[0]] += 1
            else:
                report.accepted += 1
                if _differs(original, verdict):
                    report.wrong.append((what, made))
            told(number + 1, report)
    return report


@contextmanager
def remembered() -> Iterator[None]:
    """What proof bytes and anchors come to is remembered: pure functions of their arguments."""
    proved = lru_cache(REMEMBERED)(_outcome(verify_proof))
    opened = lru_cache(REMEMBERED)(_outcome(open_proof))
    with (
        patch.object(bundle_checks, "verify_proof", lambda data, network_id, *_: _give(proved(data, network_id))),
        patch.object(bundle_case, "open_proof", lambda *args: _give(opened(*args))),
    ):
        yield


def _outcome(function: Callable[..., Any]) -> Callable[..., tuple[Any, Exception | None]]:
    def call(*args: Any) -> tuple[Any, Exception | None]:
        try:
            return function(*args), None
        except Exception as error:
            return None, error

    return call


def _give(outcome: tuple[Any, Exception | None]) -> Any:
    value, error = outcome
    if error is not None:
        raise error
    return value


def _differs(original: Any, verdict: Any) -> bool:
    return bool(verdict.facts != original.facts)


def _lines_can_be_shown(verdict: Any) -> None:
    """No line of a verdict moves a reader's cursor or turns his text around."""
    for outcome in verdict.outcomes:
        for line in outcome.lines:
            assert line.isprintable(), (outcome.name, line)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence_mutations", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()

    def told(number: int, report: Report) -> None:
        if number % 5_000 == 0:
            print(f"{number} after {time.monotonic() - began:.0f} s, {report.accepted} accepted", flush=True)

    report = run(Scene(), arguments.count, arguments.seed, told)
    print(f"{report.mutants} mutants in {time.monotonic() - began:.0f} s, {report.accepted} accepted")
    print("first refused by:", ", ".join(f"{name} {count}" for name, count in report.first.most_common()))
    for what, _ in report.wrong[:SHOWN]:
        print(f"WRONG: {what}")
    print(f"{len(report.wrong)} accepted bundles state a different fact")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
