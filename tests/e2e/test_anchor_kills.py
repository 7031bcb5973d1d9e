"""A small instance of the measurement in ``tests.anchor_kills``: real processes, killed with SIGKILL."""

from __future__ import annotations

import pytest

from tests.anchor_kills import run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "every"), [("evm", 6), ("rfc3161", 12), ("witness", 12)])
def test_no_range_is_lost_and_nothing_final_stays_unknown(kind: str, every: int) -> None:
    counts = run(1, kind, every=every)
    assert counts["steps"] >= 30
    assert counts["killed"] >= 2
    assert counts["anchors"] > counts["killed"]
