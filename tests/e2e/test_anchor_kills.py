"""A small instance of the measurement in ``tests.anchor_kills``: real processes, killed with SIGKILL."""

from __future__ import annotations

import pytest

from tests.anchor_kills import run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["evm", "rfc3161", "witness"])
def test_no_range_is_lost_and_nothing_final_stays_unknown(kind: str) -> None:
    counts = run(1, kind, every=6)
    assert counts["steps"] >= 30
    assert counts["killed"] >= 4
    assert counts["anchors"] > counts["killed"]
