"""What a hostile reader of the verifier tried: keep it busy, break it off, have it say more than is proved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.codec import decode, encode
from tallystick.evidence import FAIL, PASS, BundleVerdict, archive, verify_bundle
from tallystick.evidence.once import once
from tallystick.evidence.readable import render
from tallystick.evidence.trust import TrustError, load
from tallystick.evidence.verdict import LANGUAGES
from tests.evidence.scene import Scene
from tests.evidence_mutations import remembered

MANY = 3_000_000
COSTS = [{"code": "lawyer", "text": "fees", "amount": 900_000_000}]
TERMS = {"penalty_bp": 5_000, "compound_bp": 5_000, "day_count": 365, "acceleration": False}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with remembered():
        yield Scene()


def judged(scene: Scene, data: bytes) -> BundleVerdict:
    return verify_bundle(data, scene.network_id, scene.trusted)


def reasons(verdict: BundleVerdict, check: str) -> str:
    return next(" ".join(outcome.lines) for outcome in verdict.outcomes if outcome.name == check)


def claiming(scene: Scene, **chosen: Any) -> BundleVerdict:
    """The verdict on a bundle with another claim of the claimant's own making, everything restated."""

    def edit(stated: dict[str, Any]) -> None:
        stated["chosen"].update(chosen)

    return judged(scene, scene.honest.json("case.json", edit).restated().sealed())


def test_what_cannot_be_read_is_read_once_not_by_every_check(scene: Scene) -> None:
    """A proof of three million items, which every check would decode again."""
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


def test_nobody_claims_for_days_to_come(scene: Scene) -> None:
    verdict = claiming(scene, as_of="2099-01-01")
    assert verdict.failed == ("amounts",)
    assert "ends on 2026-06-22" in reasons(verdict, "amounts")


@pytest.mark.parametrize(
    "chosen", [{"costs": COSTS}, {"accelerated_on": "2026-01-05"}, {"accelerated_on": "0"}], ids=str
)
def test_what_no_claim_of_the_claimants_rests_on_is_not_stated(scene: Scene, chosen: dict[str, Any]) -> None:
    """Found by 100,000 mutants: a calling in on no day stood among the facts, where nothing was computed by it."""
    verdict = claiming(scene, **chosen)
    assert verdict.status == FAIL
    assert "statement" in verdict.failed


@pytest.mark.parametrize("chosen", [{}, {"costs": COSTS}, {"accelerated_on": "2026-01-05"}], ids=str)
def test_nobody_claims_otherwise_than_the_certificate_that_stands(scene: Scene, chosen: dict[str, Any]) -> None:
    verdict = claiming(scene, as_of="2026-06-22", **chosen)
    assert verdict.failed == ("amounts",)
    assert "execution certificate stands" in reasons(verdict, "amounts")


def test_the_verdict_says_in_both_languages_what_it_does_not_show(scene: Scene) -> None:
    verdict = verify_bundle(scene.honest.sealed(), scene.network_id, replace(scene.trusted, ca_roots=()))
    assert verdict.status == PASS
    for language, said in zip(
        LANGUAGES,
        (
            ("PDFs were not read", "were NOT checked", "validators' own word", "1 of 4 anchors"),
            ("未检验 PDF 的文字", "签名未经检验", "仅由验证人自行记载", "1 项未计入"),
        ),
        strict=True,
    ):
        text = "\n".join(verdict.text(language))
        assert all(part in text for part in said)
    assert len(verdict.to_json()["not_shown"]) == 4


def test_no_page_links_out_of_the_bundle(scene: Scene) -> None:
    """A number of a deed is what its notary writes."""
    stated = json.loads(scene.honest.files["case.json"])
    stated["deeds"][0]["deed"]["number"] = "documents/../../outside.html"
    page = render(stated)["index.html"].decode()
    assert "documents/../../outside.html" in page
    assert 'href="documents/..' not in page


@pytest.mark.parametrize("number", ["01", "1_0", " 1", "+1", "-1", "\uff11", "1.0", ""])
def test_a_block_of_the_trust_file_has_one_number(tmp_path: Path, number: str) -> None:
    """Else a second spelling gives a block a second hash, and the later one counts."""
    hashes = {"1": "00" * 32, number: "11" * 32}
    parts: tuple[dict[str, Any], ...] = (
        {"bitcoin_blocks": hashes},
        {"block_hashes": {"1": hashes}},
        {"block_hashes": {number: {}}},
    )
    for part in parts:
        file = tmp_path / "trust.json"
        file.write_text(json.dumps(part))
        with pytest.raises(TrustError, match="plain digits"):
            load(file)
