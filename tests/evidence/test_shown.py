"""What a clerk sees of a bundle: no name, reason or file name in it can say something in the verifier's own voice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tallystick.evidence import FAIL, PASS, verify_bundle
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


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_what_others_wrote_stays_on_its_line(scene: Scene) -> None:
    world = told(scene.publics, kind=Ventriloquist)
    made = bundle(world, anchor(world, scene.publics, number=24_000_000).size)
    verdict = verify_bundle(made, scene.network_id, scene.trusted)
    assert verdict.status == PASS
    assert verdict.facts["papers"][4]["disputes"][0]["reason"] == VOICE  # as the chain has it
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


@pytest.mark.parametrize("letter", ["\n", "\x1b", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041"])
def test_hidden_letters_are_spelled_out(letter: str) -> None:
    assert clean(f"a{letter}b") == f"a\\u{ord(letter):04x}b"
    assert clean("供应商有限公司\u3000（北京）é") == "供应商有限公司\u3000（北京）é"
