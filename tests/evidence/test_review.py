"""What a hostile reader of the verifier tried: keep it busy, break it off, have it say more than is proved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chain.codec import decode, encode
from tallystick.evidence import FAIL, BundleVerdict, archive, verify_bundle
from tallystick.evidence.once import once
from tests.evidence.scene import Scene
from tests.evidence_mutations import remembered

MANY = 500_000


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with remembered():
        yield Scene()


def judged(scene: Scene, data: bytes) -> BundleVerdict:
    return verify_bundle(data, scene.network_id, scene.trusted)


def reasons(verdict: BundleVerdict) -> str:
    return " ".join(line for outcome in verdict.outcomes for line in outcome.lines)


def test_what_cannot_be_read_is_read_once_not_by_every_check(scene: Scene) -> None:
    """A proof of half a million items, which every check would decode again."""
    proof = decode(scene.honest.files["states/0001.proof"])
    proof["claim"]["proof"] = [None] * MANY
    proof["claim"]["key"] = b"\xc1"
    forged = replace(scene.honest, files={**scene.honest.files, "states/0001.proof": encode(proof)}).sealed()
    started = time.process_time()
    verdict = judged(scene, forged)
    assert verdict.status == FAIL
    assert time.process_time() - started < 2


def test_more_proofs_than_a_case_has_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_PROOFS", 100)
    packed = archive.pack({"originals/0001.bin": bytes(200), "states/0001.proof": bytes(100)})
    assert archive.unpack(packed)
    monkeypatch.setattr(archive, "MAX_PROOFS", 99)
    with pytest.raises(archive.ArchiveError, match="choose fewer records") as caught:
        archive.unpack(packed)
    assert caught.value.code == "TOO_LARGE"


@pytest.mark.parametrize("scale", [10**9, 10**30, -1, True, "2"])
def test_a_scale_that_no_currency_has_takes_no_memory(scene: Scene, scale: Any) -> None:
    """Pages are rendered from case.json, which says what it likes."""

    def edit(stated: dict[str, Any]) -> None:
        stated["line"]["scale"] = scale

    verdict = judged(scene, scene.honest.json("case.json", edit).sealed())
    assert {"statement", "pages"} <= set(verdict.failed)


def test_a_property_worked_out_once_fails_once() -> None:
    class Part:
        tries = 0

        @once
        def value(self) -> int:
            self.tries += 1
            raise ValueError("false")

    part = Part()
    for _ in range(3):
        with pytest.raises(ValueError, match="false"):
            _ = part.value
    assert part.tries == 1
