"""An anchor in the chain of a real Bitcoin node, from the digest to the stock client's word."""

from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import trio

from chain.anchor import Trusted, verify_anchor
from node.anchor_backend import Job, State, Verdict
from node.anchor_ots import FILE_NAME, OtsBackend
from node.bitcoin_rpc import source
from tests.bitcoin_node import MATURITY, NodeChain, NoNodeError, running
from tests.ots_calendar_server import Calendar

NETWORK = bytes(range(32))
OTS = shutil.which("ots") or str(Path(sys.executable).with_name("ots"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bitcoind", "bcoin"])
def test_a_real_node_has_the_anchor(kind: str, tmp_path: Path) -> None:
    try:
        with running(kind, tmp_path / kind) as url:
            _anchor(url, tmp_path)
    except NoNodeError as error:
        pytest.skip(str(error))


def _anchor(url: str, folder: Path) -> None:
    chain = NodeChain(url)
    calendar = Calendar(chain)
    try:
        chain.mine(count=MATURITY + 3)
        job = trio.run(_through, calendar, chain, url)
    finally:
        calendar.close()
        chain.close()
    checkpoint = job.checkpoint(NETWORK)
    block_hash = chain.hash(MATURITY + 4)
    trusted = Trusted(bitcoin_blocks={MATURITY + 4: block_hash}, development=True)
    assert verify_anchor("ots", checkpoint, job.proof or b"", trusted).block == MATURITY + 4

    (folder / "checkpoint.txt").write_bytes(checkpoint.body)
    (folder / FILE_NAME).write_bytes(OtsBackend([], [], NETWORK).export(job)[FILE_NAME])
    command = [OTS, "--no-cache", "--btc-regtest", "--bitcoin-node", url, "verify", FILE_NAME]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Bitcoin block {MATURITY + 4} attests existence" in done.stderr


async def _through(calendar: Calendar, chain: NodeChain, url: str) -> Job:
    """From QUEUED to FINAL, with other transactions in the block, and re-checked as another member's node does."""
    backend = OtsBackend([calendar.url], [source(url)], NETWORK, poll_seconds=0)
    job = Job("ots", 100, sha256(b"root").digest())
    await backend.begin({}, [job])
    job, refusal = await backend.submit(await backend.prepare(job, [], 0))
    assert refusal is None
    calendar.stamp(chain.carrying(b"somebody else's"))
    chain.mine(count=4)
    job = await backend.poll(job)
    assert job.state is State.MINED
    assert (await backend.finalize(job)).state is State.MINED  # five blocks with its own, not six
    chain.mine()
    job = await backend.finalize(await backend.poll(job))
    assert job.state is State.FINAL
    claim = {"proof": job.proof, **backend.confirmation(job)}
    assert (await backend.check(claim, job.checkpoint(NETWORK))).verdict is Verdict.MATCH
    await backend.close()
    return job
