"""``tally up`` and ``tally node run`` as the operator starts and stops them: as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genesis.dev import make_dev

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PORT = 19_300


@contextmanager
def started(*arguments: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command as its own process, killed at the end if it is still there."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        cwd=ROOT, env={**inherited, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_up_starts_them_all_and_stops_them_all(tmp_path: Path, tally: Any) -> None:
    home = tmp_path / "net"
    make_dev(home, members=2, observers=(), base_port=PORT)
    with started("up", home, "--json") as process:
        assert process.stdout is not None
        text = ""
        while not text.rstrip().endswith("]"):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            text += line
        nodes = json.loads(text)
        assert [row["member"] for row in nodes] == ["erp", "procurement"]
        status = tally("node", "status", "--node", nodes[0]["api"], "--json").json
        assert status["connected"] == ["procurement"]
        os.kill(nodes[0]["pid"], signal.SIGKILL)
        assert process.stderr is not None
        wait_for(lambda: "the node of erp ended" in process.stderr.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    for row in nodes:
        with pytest.raises(ProcessLookupError):
            os.kill(row["pid"], 0)
        assert Path(row["log"]).read_text()


def test_up_says_which_port_is_taken(tmp_path: Path, tally: Any) -> None:
    import socket

    home = tmp_path / "net"
    make_dev(home, members=1, observers=(), base_port=PORT + 20)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", PORT + 20))
        taken.listen()
        done = tally("up", home)
    assert done.code == 2
    assert f"{PORT + 20}" in done.err
    assert done.err.splitlines()[-1].startswith("tally: the node of procurement ended")


def test_a_node_runs_until_it_is_stopped(tmp_path: Path, tally: Any) -> None:
    home = tmp_path / "net"
    make_dev(home, members=1, observers=(), base_port=PORT + 40)
    url = f"http://127.0.0.1:{PORT + 41}"
    with started("node", "run", home / "procurement/node.toml") as process:
        wait_for(lambda: tally("node", "status", "--node", url).code == 0)
        done = tally("party", "register", "one", "--name", "One", "--home", home, "--as", "procurement", "--json")
        assert done.code == 0, done.err
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert tally("node", "status", "--node", url).code == 3
    found = {
        row["check"]: row["ok"] for row in tally("node", "doctor", home / "procurement/node.toml", "--json").json
    }
    assert all(found.values())
    assert "journal" in found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("passphrase_file = ", "# "), "no passphrase"),
        (('signer = "keys/signer.json"', 'signer = "keys/none.json"'), "no key file at"),
        (("[api]", "[apo]"), "api"),
        (('member = "procurement"', 'member = "bank"'), "has no member 'bank'"),
    ],
)
def test_a_node_that_cannot_start_is_one_line(tmp_path: Path, tally: Any, change: tuple[str, str], said: str) -> None:
    home = tmp_path / "net"
    make_dev(home, members=1, observers=(), base_port=PORT + 60)
    path = home / "procurement/node.toml"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    done = tally("node", "run", path)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_node_with_a_wrong_passphrase(tmp_path: Path, tally: Any) -> None:
    home = tmp_path / "net"
    make_dev(home, members=1, observers=(), base_port=PORT + 80)
    done = tally("node", "run", "--home", home, "--as", "procurement", TALLY_PASSPHRASE="wrong")
    assert done.code == 2
    assert "wrong passphrase" in done.err
