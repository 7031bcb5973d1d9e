"""A small instance of `python -m tests.evidence_mutations`, and that the measure would notice a lie."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tallystick.evidence import PASS, verify_bundle
from tests import evidence_mutations as measure
from tests.evidence.mutator import Mutator

COUNT = 120


@pytest.fixture(scope="module")
def scene() -> measure.Scene:
    return measure.Scene()


@pytest.mark.slow
def test_no_mutant_that_passes_states_a_different_fact(scene: measure.Scene) -> None:
    report = measure.run(scene, COUNT, seed=7)
    assert report.mutants == COUNT
    assert report.wrong == []
    assert report.accepted + sum(report.refused_by.values()) == COUNT
    assert len(report.refused_by) >= 4  # the changes go deeper than one check


@pytest.mark.slow
def test_a_different_fact_would_be_noticed(scene: measure.Scene) -> None:
    honest = verify_bundle(scene.honest.sealed(), scene.network_id, scene.trusted)
    assert honest.status == PASS

    def noticed(facts: dict[str, Any]) -> bool:
        return not measure._less(facts, honest.facts)

    assert not noticed(honest.facts)
    fewer = honest.facts["repayments"][:1]
    changes: list[dict[str, Any]] = [{"height": 1}, {"claim": None}, {"repayments": fewer}, {"papers": []}]
    for change in changes:
        assert noticed({**honest.facts, **change})
    earlier = tuple({**row, "no_later_than": row["no_later_than"] - 1} for row in honest.existed)
    assert measure._earlier(replace(honest, existed=earlier), honest)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_mutants(scene: measure.Scene) -> None:
    first, second = (Mutator(scene.honest, scene.others, random.Random(3)) for _ in range(2))
    assert [first.mutant() for _ in range(10)] == [second.mutant() for _ in range(10)]
