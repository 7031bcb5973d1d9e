"""A small instance of the bench of queries: every question is answered under load, and its proofs verify."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.query_bench import measure

pytestmark = pytest.mark.slow


def test_every_question_is_asked_and_its_proofs_are_small(tmp_path: Path) -> None:
    report = measure(8_000, 100, 3, tmp_path, versions=4, warm_s=1, say=lambda _line: None)
    assert report.conditions["records"] == 8_000
    assert len(report.ms) == 15
    assert all(row[3] == 3 for row in report.ms.values())
    assert 1_500 < report.proof_bytes["absence"] < 4_096
    assert 1_500 < report.proof_bytes["presence"] < 4_096
