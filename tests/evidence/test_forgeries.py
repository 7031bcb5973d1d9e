"""No forged bundle passes; each check is the only one that stands between some forgery and a pass.

Every forgery has its checksums and its manifest made anew, and is signed by the claimant's real key where it does not
say otherwise. Whoever deletes a check finds here what then goes through.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tallystick.evidence import CHECKS, FAIL, PASS, UNANCHORED, BundleVerdict, verify_bundle
from tests.evidence.bad_archives import BAD
from tests.evidence.forged_anchors import ANCHOR_FORGERIES
from tests.evidence.forgeries import FORGERIES, Forgery
from tests.evidence.rogues import ROGUES, RogueWorld
from tests.evidence.scene import Scene
from tests.evidence.zip_maker import like
from tests.evidence_bundle import anchor, bundle, told
from tests.evidence_mutations import remembered

ALL = (*FORGERIES, *ANCHOR_FORGERIES)
EACH = pytest.mark.parametrize("forgery", ALL, ids=lambda forgery: forgery.name)
ROGUE = pytest.mark.parametrize("kind", ROGUES, ids=lambda kind: kind.__name__)
FORM = "archive"
"""The check of the file's outer form."""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """What proofs come to is remembered by their bytes: a forgery has most of them in common with the honest one."""
    with remembered():
        yield Scene()


def judged(scene: Scene, data: bytes, *skipped: str) -> BundleVerdict:
    return verify_bundle(data, scene.network_id, scene.trusted, skip=frozenset(skipped))


def refusing(verdict: BundleVerdict) -> list[str]:
    return [outcome.name for outcome in verdict.outcomes if outcome.status != PASS]


def test_the_honest_bundle_passes_every_check(scene: Scene) -> None:
    verdict = judged(scene, scene.honest.sealed())
    assert (verdict.status, refusing(verdict)) == (PASS, [])
    assert [outcome.name for outcome in verdict.outcomes] == [check.name for check in CHECKS]


@pytest.mark.slow
@EACH
def test_a_forged_bundle_is_refused_by_the_check_that_is_there_for_it(scene: Scene, forgery: Forgery) -> None:
    """Where ``only`` says so it passes once that one check is deleted."""
    forged = forgery.make(scene)
    verdict = judged(scene, forged)
    assert verdict.status == (UNANCHORED if forgery.check == "public" else FAIL), refusing(verdict)
    assert forgery.check in refusing(verdict)
    refusal = next(outcome.lines[0] for outcome in verdict.outcomes if outcome.name == forgery.check)
    assert refusal.isprintable()
    if verdict.status == FAIL:
        assert verdict.facts == {}
        assert verdict.existed == ()
    if forgery.only:
        assert judged(scene, forged, forgery.check).status == PASS


@pytest.mark.slow
@ROGUE
def test_a_rogue_consortiums_bundle_is_refused_and_passes_without_the_check(
    scene: Scene, kind: type[RogueWorld]
) -> None:
    world = told(scene.publics, kind=kind)
    forged = bundle(world, anchor(world, scene.publics, number=22_000_000 + len(scene.publics.evm_blocks[1])).size)
    assert refusing(judged(scene, forged)) == [ROGUES[kind]]
    assert judged(scene, forged, ROGUES[kind]).status == PASS


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code", "make"), BAD, ids=[name for name, _, _ in BAD])
def test_a_file_in_another_form_is_refused(scene: Scene, name: str, code: str, make: object) -> None:
    """Each holds the honest files; the codes are held to in test_archives.py."""
    assert callable(make), (name, code)
    verdict = judged(scene, make(like(scene.honest.sealed())))
    assert verdict.failed[0] == FORM


@pytest.mark.slow
def test_the_form_is_a_check_of_its_own(scene: Scene) -> None:
    """What only the form refuses passes without it."""
    honest = like(scene.honest.sealed())
    passing = [name for name, _, make in BAD if judged(scene, make(honest), FORM).status == PASS]
    assert "a comment" in passing
    assert "a second name for unzip" in passing


def test_the_shortest_of_the_story(scene: Scene) -> None:
    """One forgery by name of each sort: the others are among the slow tests."""
    quick = ("a whole second consortium", "a pruned dispute", "a sealed value swapped", "a re-dated token")
    chosen = [forgery for forgery in ALL if forgery.name in quick]
    assert len(chosen) == len(quick)
    for forgery in chosen:
        assert forgery.check in judged(scene, forgery.make(scene)).failed


def test_there_is_a_forgery_for_every_check() -> None:
    """Deleting any one check lets at least one of them pass."""
    needed = {forgery.check for forgery in ALL if forgery.only} | set(ROGUES.values()) | {FORM}
    assert needed == {check.name for check in CHECKS}
    assert len(ALL) + len(ROGUES) >= 40
