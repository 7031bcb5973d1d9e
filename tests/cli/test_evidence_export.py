"""``tally evidence export``: what it refuses before it makes anything. Whole exports: tests/e2e/test_court.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

RECORD = "ab" * 32


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("--open", RECORD), 2, "opens nothing: write RECORD=FIELD,FIELD"),
        (("--open", "5=payee_account"), 2, "64"),
        (("--open", f"{RECORD}=a", "--open", f"{RECORD}=b"), 2, "opened twice"),
        (("--terms", "1500,365"), 2, "PENALTY,COMPOUND,DAYS"),
        (("--terms", "1500,1500,364"), 2, "day_count must be 360 or 365"),
        ((), 3, "no case or application"),
    ],
)
def test_what_is_refused(network: Any, tmp_path: Path, given: tuple[str, ...], code: int, said: str) -> None:
    output = tmp_path / "bundle.zip"
    done = network.tally("lender", "evidence", "export", "cd" * 32, "-o", output, *given)
    assert (done.code, said in done.err) == (code, True), done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not output.exists()
