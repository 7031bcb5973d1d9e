"""The witness backend against other people's witness: ``aics-witness``, written from c2sp.org/tlog-witness as well.

It runs as a process of its own, in the second Python where the first is older than it wants (.ci/other-python.sh).
What it cosigned is then read by its sister program ``aics-tlog``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import trio

from chain.anchor import Trusted, verify_anchor
from chain.checkpoint import Log
from chain.cosignature import TYPE_COSIGNATURE, TYPE_LOG, origin_of, parse_verifier_key, verifier_key
from chain.crypto import SigningKey, sha256
from node.anchor_asking import wall_clock
from node.anchor_backend import Job, State, Verdict
from node.anchor_witness import WitnessBackend

ROOT = Path(__file__).resolve().parents[2]
NETWORK = bytes(range(32))
NAME = "witness.bank/w1"
FIRST, SECOND = (SigningKey(sha256(name)) for name in (b"first member", b"second member"))


@cache
def python() -> str | None:
    """An interpreter that has the witness, or None."""
    for candidate in (sys.executable, str(ROOT / ".other-python" / "bin" / "python")):
        asked = [candidate, "-c", "import aics_witness"]
        if Path(candidate).exists() and subprocess.run(asked, capture_output=True).returncode == 0:
            return candidate
    return None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(python() is None, reason="aics-witness needs Python 3.12 or newer, which this machine lacks"),
]


def log_of(size: int, *, forked_at: int | None = None) -> Log:
    log = Log()
    for number in range(size):
        log.append(b"fork %d" % number if number == forked_at else b"block %d" % number)
    return log


LOG, FORK = log_of(60), log_of(60, forked_at=5)
ORIGIN = origin_of(LOG.checkpoint(NETWORK, 1))


@dataclass
class Witness:
    """A running witness."""

    url: str
    public: bytes
    verifier_key: str

    def backend(self, log: Log = LOG, key: SigningKey = FIRST) -> WitnessBackend:
        return WitnessBackend("place", self.url, NAME, self.public, NETWORK, log_key=key, consistency=log.consistency)


def program(folder: Path, *arguments: str) -> list[str]:
    assert python()
    return [str(python()), "-m", "aics_witness", *arguments, "--config", str(folder / "witness.json")]


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    folder = tmp_path_factory.mktemp("witness")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listen = f"127.0.0.1:{port}"
    shown = subprocess.run(
        program(folder, "init", "--name", NAME, "--listen", listen), check=True, capture_output=True, text=True
    )
    key = shown.stdout.strip()
    for member in (FIRST, SECOND):
        vkey = verifier_key(ORIGIN, TYPE_LOG, member.public)
        added = program(folder, "add-log", "--origin", ORIGIN, "--vkey", vkey)
        subprocess.run(added, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        program(folder, "serve"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the witness did not start"
            time.sleep(0.02)
        yield Witness(f"http://{listen}", parse_verifier_key(key, TYPE_COSIGNATURE)[1], key)
    finally:
        process.terminate()
        process.wait(10)


def anchor(backend: WitnessBackend, size: int, log: Log = LOG) -> tuple[Job, str | None]:
    async def story() -> tuple[Job, str | None]:
        job = await backend.prepare(Job("place", size, log.root(size)), [], wall_clock())
        job, refusal = await backend.submit(job)
        job = await backend.poll(job)
        job = await backend.finalize(job) if job.state is State.MINED else job
        await backend.close()
        return job, refusal

    return trio.run(story)


def test_the_whole_life_of_a_log(witness: Witness, tmp_path: Path) -> None:
    """Grown by two members, read by another program, too old, forked in two ways, and grown again."""
    for size, key in ((10, FIRST), (23, FIRST), (24, SECOND), (24, FIRST), (40, SECOND)):
        final, refusal = anchor(witness.backend(key=key), size)
        assert (final.state, refusal) == (State.FINAL, None), size
        checkpoint = final.checkpoint(NETWORK)
        existed = verify_anchor("witness", checkpoint, final.proof or b"", Trusted(witnesses={NAME: witness.public}))
        assert (existed.where, existed.note, existed.development) == (NAME, "", False)
        assert abs(existed.time - wall_clock() // 1000) < 10
        claim = {"proof": final.proof, **witness.backend().confirmation(final)}
        assert trio.run(witness.backend().check, claim, checkpoint).verdict is Verdict.MATCH

        (tmp_path / "note").write_bytes(final.proof or b"")
        read = subprocess.run(
            [
                str(python()), "-m", "aics_tlog", "verify-checkpoint", "--note", "note", "--origin", ORIGIN,
                "--log-key", verifier_key(ORIGIN, TYPE_LOG, key.public),
                "--witness-key", witness.verifier_key, "--quorum", "1",
            ],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert read.returncode == 0, read.stdout + read.stderr

    for size in (40, 60):
        forked, refusal = anchor(witness.backend(FORK, SECOND), size, FORK)
        assert forked.state is State.SENT
        assert refusal is not None
        assert refusal.startswith("FORK: 127.0.0.1 refuses the checkpoint of")

    old, refusal = anchor(witness.backend(), 23)
    assert (old.state, refusal) == (
        State.SENT,
        f"{NAME} has cosigned 40 blocks already: this checkpoint is too old",
    )
    _, refusal = anchor(witness.backend(key=SigningKey(sha256(b"stranger"))), 60)
    assert refusal == "127.0.0.1 answers with HTTP status 403: give its operator this node's log key"
    final, refusal = anchor(witness.backend(), 60)
    assert (final.state, refusal) == (State.FINAL, None)
