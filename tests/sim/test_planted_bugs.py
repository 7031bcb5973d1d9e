"""The checks see: each planted bug is caught by its directed test and by the simulator within its budget of seeds.

bug                         seeds  directed test (where they are: ``tests.sim.planted.BUGS``)
--------------------------  -----  ----------------------------------------------------------------
forgotten-lock                120  R4: the lock is kept through rounds and declared in each
amnesia-after-restart         100  R8: the journal gives back votes and lock
missing-certificate           600  R2: fewer than Q PREPAREs prove nothing
lower-round-certificate       800  R2: a lower prepared round is refused
quorum-2f+1-of-5, -of-6        50  2f+1 votes neither lock nor decide where n is not 3f+1
signatures-not-signers        500  R2: signers are counted, not ROUND-CHANGEs
round-in-digest               100  a re-proposed block keeps its digest through rounds
vote-below-round              200  R3: a proposal below the current round gets no vote
timer-against-decision        200  R14: a timer after the decision does nothing
vote-while-catching-up        300  R9: a verified certificate above the next height stops the votes
unbounded-round-jump          100  R6: one validator alone moves nobody
send-before-persist           100  R7: a vote is synced before its signature is given
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sim.planted import BUGS, Patch, Planted, apply, run_directed, simulate

WORKERS = min(2, os.cpu_count() or 1)
EACH_BUG = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)


def test_there_are_twelve() -> None:
    assert len({bug.name.removesuffix("-of-5").removesuffix("-of-6") for bug in BUGS}) == 12


def test_the_table_above_says_the_budgets() -> None:
    rows = [line.split() for line in (__doc__ or "").splitlines()[4:]]
    said = {row[0].rstrip(","): next(int(word) for word in row if word.isdigit()) for row in rows if row}
    assert said == {bug.name: bug.budget for bug in BUGS if not bug.name.endswith("-of-6")}


@EACH_BUG
@pytest.mark.slow
def test_the_directed_test_catches_it(bug: Planted) -> None:
    done = run_directed(bug)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout, done.stdout


@EACH_BUG
@pytest.mark.slow
def test_the_simulator_catches_it(bug: Planted) -> None:
    done = simulate(bug, workers=WORKERS)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "seed " in done.stdout, done.stdout + done.stderr


def test_a_patch_whose_text_is_gone_or_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("one\ntwo\ntwo\n", encoding="utf-8")
    for old in ("three", "two"):
        with pytest.raises(ValueError, match="instead of once"):
            apply((Patch("code.py", old, "four"),), tmp_path)
    apply((Patch("code.py", "one", "four"),), tmp_path)
    assert file.read_text(encoding="utf-8") == "four\ntwo\ntwo\n"
