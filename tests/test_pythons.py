"""The same roots under another Python version and other hash seeds, for whole stories through every contract.

The other Python is made by `.ci/other-python.sh` where the machine has one. Its numpy, msgpack and pydantic are the
same releases, its dict, set, sort and int are another version's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OTHER = ROOT / ".other-python" / "bin" / "python"
SEEDS = ("0", "1", "4242")

STORIES = {
    "records, parties, notary, governance on the real ledger": (
        "from tests.chain.test_determinism import digests; print(*digests())"
    ),
    "papers, truth, assessment, limit": (
        "from tests.contracts import credit_story as t, trading\n"
        "on = trading.ledger()\n"
        "t.tell_story(on, receipt=trading.receipt('90'))\n"
        "t.assessed(on)\n"
        "print(on.head(t.CONSORTIUM)[2].hex())\n"
    ),
    "increments, loans, pledges, disputes over many periods": (
        "from tests.contracts.test_line_replay import CONSORTIUM, Story\n"
        "story = Story(7)\n"
        "for _ in range(60): story.step()\n"
        "print(story.on.head(CONSORTIUM)[2].hex())\n"
    ),
    "fakes in several members' papers, noticed": (
        "from tests.contracts.memory_context import CONSORTIUM\n"
        "from tests.fakes import measure, planted, world\n"
        "made = world.World(5)\n"
        "alerts = measure.run(made)\n"
        "print('%064x' % len(alerts), *alerts)\n"
    ),
    "custody: readers, copies, rounds, losses": ("from tests.contracts.custody_desk import story; print(story())"),
    "de-identified data, target lender": (
        "from tests.contracts import test_match as t\n"
        "on = t.consortium()\n"
        "rows = [*t.loans('lender', 9_000_000), *t.loans('lender-b', t.NEAR)]\n"
        "rows += t.loans('XB', t.NEAR, industry='45')\n"
        "t.publish(on, rows, institutions=('XB',))\n"
        "t.ok(t.call(on, 'lender', t.asked(on)))\n"
        "print(on.head('consortium')[2].hex(), on.head('regulator')[2].hex())\n"
    ),
}


def told(python: Path | str, code: str, seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("story", sorted(STORIES))
def test_roots_are_the_same_under_two_versions_and_three_hash_seeds(story: str) -> None:
    here = {told(sys.executable, STORIES[story], seed) for seed in SEEDS}
    assert len(here) == 1
    assert len(next(iter(here)).split()[0]) == 64
    if not OTHER.exists():
        pytest.skip("this machine has no second Python (.ci/other-python.sh says why)")
    assert {told(OTHER, STORIES[story], seed) for seed in SEEDS} == here
