"""The transcripts in ``scenarios``: what a committee does, readable, and the same every time.

``pytest tests/consensus --rewrite-scenarios`` writes what they give now; read the diff before you commit it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agreement.transcript import run_transcript

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path, pytestconfig: pytest.Config) -> None:
    written = path.read_text()
    given = run_transcript(written)
    if pytestconfig.getoption("--rewrite-scenarios"):
        path.write_text(given)
    else:
        assert given == written


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 6
