"""Measures the bundle's verifier against random mutants: no accepted bundle states a different fact.

    python -m tests.evidence_mutations --count 100000 --seed 1

Each mutant is one to three random changes of a real case's bundle (tests/evidence/mutator.py), sealed again by the
claimant's own key with every checksum made anew; half of those whose proofs stand also with case.json, the papers'
facts and the pages made anew, as a forger would who has this program. An accepted one must state exactly the
original's facts, and no earlier public time; which papers of its own a claimant encloses is its own affair, and the
verdict says so. So that many take minutes, the checks run in an order in which the first refusal comes soon, and what
a proof comes to is remembered by its bytes; what none refuses goes through the whole verifier again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from unittest.mock import patch

from chain.verification import verify_proof
from tallystick.evidence import CHECKS, FAIL, PASS, BundleVerdict, Check, manifest, verify_bundle
from tallystick.evidence import case as bundle_case
from tallystick.evidence import checks as bundle_checks
from tallystick.evidence.archive import ArchiveError
from tallystick.evidence.case import Case
from tallystick.evidence.contents import open_proof
from tallystick.evidence.verify import _run as run_check
from tallystick.evidence.words import clean
from tests.evidence.forger import Forger
from tests.evidence.mutator import Mutator
from tests.evidence_bundle import Publics, anchor, bundle, told

REMEMBERED: Final = 2_048
SHOWN: Final = 5
FORM: Final = "archive"
RESTATED: Final = ("files", "signature", "statement", "documents", "pages")
"""Checks that look at what a forger makes anew: the others come first, those of the proofs before all."""
BEFORE: Final = (
    *(check for check in CHECKS if check.name == "proofs"),
    *(check for check in CHECKS if check.name not in ("proofs", FORM, *RESTATED)),
)
AFTER: Final = tuple(check for check in CHECKS if check.name in RESTATED)
ENCLOSED: Final = "documents"
"""The claimant's own papers: that they are there is listed, what they say is not read."""
ATTACHED: Final = ("opened", "original")
"""What a bundle may show less of than another, and still states the same."""


@dataclass
class Report:
    """What came of the mutants. accepted: those that passed; wrong: those of them that state something else."""

    mutants: int = 0
    accepted: int = 0
    refused_by: Counter[str] = field(default_factory=Counter)
    """The first check that failed."""
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


def run(scene: Scene, count: int, seed: int, told: Callable[[Report], None] = lambda _report: None) -> Report:
    """Try so many mutants."""
    chance = random.Random(seed)
    mutator = Mutator(scene.honest, scene.others, chance)
    honest = verify_bundle(scene.honest.sealed(), scene.network_id, scene.trusted)
    assert honest.status == PASS, honest.failed
    report, accepted = Report(), []
    with remembered():
        while report.mutants < count:
            what, forger = mutator.mutant()
            restated = chance.random() < 0.5
            if forger == scene.honest:  # a change that changed nothing
                continue
            report.mutants += 1
            refusal = _refusal(scene, forger.files, BEFORE[:1]) or _refusal(scene, forger.whole(), BEFORE[1:])
            if refusal is None:
                forger = forger.restated() if restated else forger
                refusal = _refusal(scene, forger.whole(), AFTER)
            if refusal is None:
                accepted.append((what, forger))
            else:
                report.refused_by[refusal] += 1
            told(report)
        for what, forger in accepted:
            _judge(scene, honest, what, forger, report)
    return report


def _refusal(scene: Scene, files: Mapping[str, bytes], checks: Sequence[Check]) -> str | None:
    """The first of the checks that fails, None where none does. Its line must be fit to be shown."""
    case = Case(b"", files, scene.network_id, scene.trusted)
    for check in checks:
        outcome = run_check(check, case)
        for line in outcome.lines:
            assert line == clean(line), (outcome.name, line)
        if outcome.status == FAIL:
            return check.name
    return None


def _judge(scene: Scene, honest: BundleVerdict, what: str, forger: Forger, report: Report) -> None:
    """A mutant that no check refused, verified as a whole: it states what the honest one does, or less."""
    try:
        data = forger.sealed()
    except ArchiveError:
        report.refused_by[FORM] += 1
        return
    verdict = verify_bundle(data, scene.network_id, scene.trusted)
    if verdict.status == FAIL:
        report.refused_by[verdict.failed[0]] += 1
        return
    report.accepted += 1
    said, known = (_unordered(verdict.facts), _unordered(honest.facts))
    if not _less(said, known) or _earlier(verdict, honest) or verdict.development:
        report.wrong.append((what, data))


def _less(said: Any, honest: Any) -> bool:
    """Whether facts are the honest ones, less what the bundle no longer shows of its papers' files."""
    if isinstance(said, dict) and isinstance(honest, dict):
        return said.keys() == honest.keys() and all(
            _less(part, honest[name]) or (name in ATTACHED and _nothing(part)) for name, part in said.items()
        )
    if isinstance(said, list) and isinstance(honest, list) and said != honest:
        return len(said) == len(honest) and all(map(_less, said, honest))
    return bool(said == honest) and type(said) is type(honest)


def _unordered(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts without the claimant's own affair: which papers it encloses, and in which order it names records."""
    chosen = facts["chosen"]
    return {**facts, ENCLOSED: [], "chosen": {**chosen, "papers": sorted(chosen["papers"])}}


def _nothing(part: Any) -> bool:
    return not part or (isinstance(part, dict) and not any(part.values()))


def _earlier(verdict: BundleVerdict, honest: BundleVerdict) -> bool:
    """Whether something is said to have existed before the time by which the honest bundle says that it did."""
    known = {row["what"]: row["no_later_than"] for row in honest.existed}
    return any(
        row["no_later_than"] is not None and row["no_later_than"] < known[row["what"]] for row in verdict.existed
    )


@contextmanager
def remembered() -> Iterator[None]:
    """What proofs and JSON come to is remembered by their bytes: pure functions of their arguments."""
    proved = lru_cache(REMEMBERED)(_outcome(verify_proof))
    opened = lru_cache(REMEMBERED)(_outcome(open_proof))
    read = lru_cache(REMEMBERED)(_outcome(manifest.from_json))
    with (
        patch.object(manifest, "from_json", lambda data, what: _give(read(data, what))),
        patch.object(bundle_checks, "verify_proof", lambda data, network, _certified: _give(proved(data, network))),
        patch.object(bundle_case, "open_proof", lambda data: _give(opened(data))),
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


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence_mutations", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()

    def told(report: Report) -> None:
        if report.mutants % 1_000 == 0:
            print(f"{report.mutants} after {time.monotonic() - began:.0f} s", flush=True)

    report = run(Scene(), arguments.count, arguments.seed, told)
    print(f"{report.mutants} mutants in {time.monotonic() - began:.0f} s, {report.accepted} accepted")
    print("refused by:", ", ".join(f"{name} {count}" for name, count in report.refused_by.most_common()))
    for what, _ in report.wrong[:SHOWN]:
        print(f"WRONG: {what}")
    print(f"{len(report.wrong)} accepted bundles state a different fact")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
