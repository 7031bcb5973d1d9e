"""Twelve bugs that real implementations had, as patches of the shipped source: what proves that the checks see.

A patch is (file, old text, new text); the old text must stand exactly once, so that no patch can rot unnoticed.
``patched_tree`` makes a copy of the source with a bug in it; the copy is run in a process of its own, first on the
path. Nothing of this is in the shipped code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
COPIED: Final = ("consensus", "node", "chain")
LINKED: Final = ("contracts", "genesis", "tests")


@dataclass(frozen=True)
class Patch:
    """Replace ``old`` by ``new`` in ``file``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Planted:
    """One bug. ``budget``: the seeds within which the simulator must catch it, with ``nodes`` validators.

    ``directed``: the test below ``tests/`` that is about it: it must fail with the bug, and passes without.
    """

    name: str
    story: str
    patches: tuple[Patch, ...]
    budget: int
    directed: str
    nodes: str = "4-7"


TWO_F_PLUS_ONE: Final = Patch(
    "chain/certificate.py", "    return (2 * n - 1) // 3 + 1\n", "    return 2 * faults(n) + 1\n"
)

BUGS: Final = (
    Planted(
        name="forgotten-lock",
        story="a round change drops the lock, so another block can be decided (quorum#305)",
        patches=(
            Patch("consensus/height.py", "        lock = self.prepared\n", "        lock = self.prepared = None\n"),
        ),
        budget=120,
        directed="consensus/test_rules_votes.py::test_r4_the_lock_is_kept_through_rounds_and_declared_in_each",
    ),
    Planted(
        name="amnesia-after-restart",
        story="the journal is not read back at start (tendermint#3418)",
        patches=(Patch("node/journal.py", "            journal._replay(record, start)\n", ""),),
        budget=100,
        directed="node/test_signer.py::test_a_restart_gives_back_the_votes_and_the_lock_of_the_newest_height",
    ),
    Planted(
        name="missing-certificate",
        story="a re-proposal is accepted without the PREPAREs that prove its lock",
        patches=(
            Patch(
                "consensus/justification.py",
                "    if not proves_prepared(\n"
                "        electorate, message.prepares, message.height, highest.prepared_round, message.digest\n"
                "    ):\n",
                "    if False:\n",
            ),
        ),
        budget=600,
        directed="consensus/test_rules_proposals.py::test_r2_fewer_than_q_prepares_prove_nothing",
    ),
    Planted(
        name="lower-round-certificate",
        story="any proved lock of the justification may be proposed again, not only the highest",
        patches=(
            Patch(
                "consensus/justification.py",
                "    claimed = {change.prepared_digest for change in changes"
                " if change.prepared_round == highest.prepared_round}\n",
                "    claimed = {change.prepared_digest for change in changes}\n",
            ),
            Patch(
                "consensus/justification.py",
                "    if not proves_prepared(\n"
                "        electorate, message.prepares, message.height, highest.prepared_round, message.digest\n"
                "    ):\n",
                "    if not any(\n"
                "        proves_prepared(electorate, message.prepares, message.height, change.prepared_round or 0,"
                " message.digest)\n"
                "        for change in changes\n"
                "    ):\n",
            ),
        ),
        budget=800,
        directed="consensus/test_rules_proposals.py::test_r2_a_lower_prepared_round_is_refused",
    ),
    Planted(
        name="quorum-2f+1-of-5",
        story="2f+1 votes decide, which with n = 5 are not a quorum (celo#117, quorum#796)",
        patches=(
            Patch("chain/certificate.py", "    return (2 * n - 1) // 3 + 1\n", "    return 2 * faults(n) + 1\n"),
        ),
        budget=50,
        directed="consensus/test_traps.py::test_2f_plus_1_votes_neither_lock_nor_decide_where_n_is_not_3f_plus_1[5]",
        nodes="5",
    ),
    Planted(
        name="quorum-2f+1-of-6",
        story="the same with n = 6",
        patches=(
            Patch("chain/certificate.py", "    return (2 * n - 1) // 3 + 1\n", "    return 2 * faults(n) + 1\n"),
        ),
        budget=50,
        directed="consensus/test_traps.py::test_2f_plus_1_votes_neither_lock_nor_decide_where_n_is_not_3f_plus_1[6]",
        nodes="6",
    ),
    Planted(
        name="signatures-not-signers",
        story="signatures are counted, so that one signer's many make a quorum (besu#1671, #1736)",
        patches=(
            Patch(
                "consensus/justification.py",
                "    return {message.sender for message in messages}\n",
                "    return {message.signature for message in messages}\n",
            ),
        ),
        budget=500,
        directed="consensus/test_rules_proposals.py::test_r2_signers_are_counted_not_round_changes",
    ),
    Planted(
        name="round-in-digest",
        story="the digest of a block depends on the round it is proposed in, so a lock can never be met (besu#2134)",
        patches=(
            Patch(
                "consensus/height.py",
                "            self._sign_proposal(highest.prepared_digest, block, highest.prepares)\n",
                "            from chain.crypto import sha256\n"
                "            digest = sha256(highest.prepared_digest + self.round.to_bytes(8, 'big'))\n"
                "            self._sign_proposal(digest, block, highest.prepares)\n",
            ),
        ),
        budget=100,
        directed="consensus/test_traps.py::test_a_reproposed_block_keeps_its_digest_through_rounds",
    ),
    Planted(
        name="vote-below-round",
        story="a late proposal of an earlier round still gets a vote",
        patches=(
            Patch(
                "consensus/height.py",
                "        is_open = message.round > self.round"
                " or (message.round == self.round and self.accepted is None)\n",
                "        is_open = message.round != self.round or self.accepted is None\n",
            ),
            Patch("consensus/height.py", "        assert round_number > self.round\n", ""),
            Patch(
                "consensus/height.py",
                "        if message.round > self.round:\n            self._enter_round(message.round)\n",
                "        if message.round != self.round:\n            self._enter_round(message.round)\n",
            ),
        ),
        budget=200,
        directed="consensus/test_rules_proposals.py::test_r3_a_proposal_below_the_current_round_gets_no_vote",
    ),
    Planted(
        name="timer-against-decision",
        story="a timer between decision and durable head still changes the round (besu#1734, #1575)",
        patches=(
            Patch(
                "consensus/height.py",
                "        is_catching_up = self.certificate is not None or self.is_suspended\n",
                "        is_catching_up = self.is_suspended\n",
            ),
            Patch(
                "consensus/height.py",
                "            self.certificate = certificate\n            self.stop_timers()\n",
                "            self.certificate = certificate\n",
            ),
        ),
        budget=200,
        directed="consensus/test_rules_rounds.py::test_r14_a_timer_after_the_decision_does_nothing",
    ),
    Planted(
        name="vote-while-catching-up",
        story="a node that knows a certificate above its head votes on (cometbft#5953)",
        patches=(
            Patch(
                "consensus/height.py",
                "        is_catching_up = self.certificate is not None or self.is_suspended\n",
                "        is_catching_up = self.certificate is not None\n",
            ),
        ),
        budget=300,
        directed="consensus/test_rules_catching_up.py::test_r9_a_verified_certificate_above_the_next_height_stops_the_votes",
    ),
    Planted(
        name="unbounded-round-jump",
        story="one validator's huge round is joined (FISCO-BCOS#2211, #2312)",
        patches=(
            Patch(
                "consensus/vote_store.py",
                "        return min(above) if len(above) > self.electorate.validators.faults else None\n",
                "        return max(above) if above else None\n",
            ),
        ),
        budget=100,
        directed="consensus/test_rules_rounds.py::test_r6_one_validator_alone_moves_nobody",
    ),
    Planted(
        name="send-before-persist",
        story="a vote is sent before the journal is synced",
        patches=(
            Patch(
                "node/journal.py",
                "    def _sync(self) -> None:\n        self._storage.sync()\n",
                "    def _sync(self) -> None:\n",
            ),
        ),
        budget=100,
        directed="node/test_signer.py::test_a_vote_is_synced_before_its_signature_is_given",
    ),
)


def apply(patches: tuple[Patch, ...], tree: Path) -> None:
    """Apply patches to a copy of the source. Raises ValueError unless each old text stands exactly once."""
    for patch in patches:
        path = tree / patch.file
        text = path.read_text(encoding="utf-8")
        if text.count(patch.old) != 1:
            raise ValueError(f"{patch.file}: {text.count(patch.old)} times instead of once: {patch.old!r}")
        path.write_text(text.replace(patch.old, patch.new), encoding="utf-8")


@contextmanager
def patched_tree(patches: tuple[Patch, ...]) -> Iterator[Path]:
    """A folder with the source, patched; gone afterwards."""
    with TemporaryDirectory(prefix="planted-") as name:
        tree = Path(name)
        for folder in COPIED:
            shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for folder in LINKED:
            (tree / folder).symlink_to(ROOT / folder)
        apply(patches, tree)
        yield tree


def run_in(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run ``python …`` with the folder's source in the place of the shipped one."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def simulate(bug: Planted, *, workers: int = 1) -> subprocess.CompletedProcess[str]:
    """The simulator on the bug, until it is caught or its budget is spent; exit status 1 where it was caught."""
    with patched_tree(bug.patches) as tree:
        return run_in(
            tree, "-m", "tests.sim", "--seeds", str(bug.budget), "--nodes", bug.nodes, "--jobs", str(workers),
            "--first", "--trace", "0",
        )  # fmt: skip


def run_directed(bug: Planted) -> subprocess.CompletedProcess[str]:
    """The directed test on the bug; exit status 1 where it failed, 0 where it passed."""
    with patched_tree(bug.patches) as tree:
        return run_in(
            tree, "-m", "pytest", "-q", "-x", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p",
            "no:cacheprovider", "-o", f"pythonpath={tree}", str(ROOT / "tests" / bug.directed),
        )  # fmt: skip
