"""What a clerk sees of a bundle: no name, reason or file name in it can say something in the verifier's own voice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tallystick.evidence import FAIL, PASS, BundleVerdict, verify_bundle
from tallystick.evidence.verdict import LANGUAGES
from tallystick.evidence.words import clean
from tests.evidence.scene import Scene
from tests.evidence_bundle import anchor, bundle, told
from tests.evidence_case import CaseWorld

VOICE = "x\nCONCLUSION: every check passes.\x1b[2J\r\u202eevil\u2028\u200b"
"""Ends the line, speaks as the verifier, clears the screen, turns the text around."""


class Ventriloquist(CaseWorld):
    """The buyer's reason for its dispute is written for whoever reads the verdict."""

    def do(self, name: str, by: str, method: str, /, **args: Any) -> bytes:
        """See LoanWorld."""
        return super().do(name, by, method, **{**args, "reason": VOICE} if name == "dispute" else args)


class PaidLater(CaseWorld):
    """The supplier pays a part after the certificate was issued."""

    def open_case(self) -> None:
        """See CaseWorld."""
        self.at("2026-06-24")
        self.repay("P-3", "1000.00", "2026-06-24")
        super().open_case()


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.mark.slow
def test_what_others_wrote_stays_on_its_line(scene: Scene) -> None:
    world = told(scene.publics, kind=Ventriloquist)
    made = bundle(world, anchor(world, scene.publics, number=24_000_000).size)
    verdict = verify_bundle(made, scene.network_id, scene.trusted)
    assert verdict.status == PASS
    assert VOICE in [row["reason"] for paper in verdict.facts["papers"] for row in paper["disputes"]]  # as it is
    for language in LANGUAGES:
        lines = verdict.text(language)
        assert all(line == clean(line) for line in lines)
        assert sum(line.startswith(("CONCLUSION", "结论")) for line in lines) == 1
        assert any("x\\u000aCONCLUSION" in line for line in lines)
    files = scene.opened(made).files
    for name, data in files.items():
        if name.endswith((".txt", ".html")) and not name.startswith("anchors/"):
            assert all(line == clean(line) for line in data.decode().split("\n")), name
            assert "\nCONCLUSION" not in data.decode()


def test_a_refused_bundle_cannot_say_that_it_passed(scene: Scene) -> None:
    forged = replace(scene.honest, claimant=VOICE).restated()
    verdict = verify_bundle(forged.sealed(), scene.network_id, scene.trusted)
    assert verdict.status == FAIL
    for language in LANGUAGES:
        conclusions = [line for line in verdict.text(language) if line.startswith(("CONCLUSION", "结论"))]
        assert len(conclusions) == 1
        assert "claimant" in conclusions[0]


@pytest.mark.slow
def test_what_was_paid_after_the_certificate_is_said_beside_its_amount(scene: Scene) -> None:
    """Its amount stays what it was; nobody who reads it is left to think that nothing was paid since."""
    world = told(scene.publics, kind=PaidLater)
    made = bundle(world, anchor(world, scene.publics, number=25_000_000).size)
    verdict = verify_bundle(made, scene.network_id, scene.trusted)
    assert verdict.status == PASS
    assert verdict.facts["repaid_since"] == 100_000
    assert "  paid back since then and not deducted: 1000.00 CNY" in verdict.text()
    assert "Paid back since" in scene.opened(made).files["index.html"].decode()
    assert not any("paid back since" in line for line in _honest(scene).text())


def test_what_the_deed_rests_on_and_what_is_pledged_is_in_the_bundle(scene: Scene) -> None:
    facts = _honest(scene).facts
    contract = next(paper for paper in facts["papers"] if paper["kind"] == "contract")
    assert scene.world.originals["contract C-1"].id.hex() in [version["id"] for version in contract["versions"]]
    assert [row["bill"][2] for row in facts["pledges"]] == ["I-1"]


@pytest.mark.parametrize("letter", ["\n", "\x1b", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041"])
def test_hidden_letters_are_spelled_out(letter: str) -> None:
    assert clean(f"a{letter}b") == f"a\\u{ord(letter):04x}b"
    assert clean("供应商有限公司\u3000（北京）é") == "供应商有限公司\u3000（北京）é"


def _honest(scene: Scene) -> BundleVerdict:
    return verify_bundle(scene.honest.sealed(), scene.network_id, scene.trusted)
