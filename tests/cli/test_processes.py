"""Nodes as child processes: what goes wrong before any of them agrees."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from genesis.dev import make_dev
from node.processes import LocalNodes, ProcessError, local_url


def test_a_folder_without_nodes(tmp_path: Path, tally: Any) -> None:
    done = tally("up", tmp_path)
    assert done.code == 2
    assert "make a consortium with `tally genesis dev" in done.err


def test_a_member_without_a_node(dev: Any, tally: Any) -> None:
    done = tally("up", dev.directory, "--only", "bank")
    assert done.code == 2
    assert "has no node of 'bank'" in done.err


@pytest.mark.slow
def test_a_node_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 19_901))
        taken.listen()
        home = tmp_path / "net"
        make_dev(home, members=1, observers=(), base_port=19_900)
        with LocalNodes(home) as nodes:
            nodes.start()
            with pytest.raises(ProcessError, match=r"the node of procurement ended: .*19901"):
                nodes.wait_ready(timeout_s=60)
            assert [node.member for node in nodes.ended()] == ["procurement"]


@pytest.mark.slow
def test_a_node_that_is_killed_is_told_with_the_signal(tmp_path: Path) -> None:
    """Whatever its log says last: a line of an earlier run is not why this one ended."""
    home = tmp_path / "net"
    make_dev(home, members=1, observers=(), base_port=19_910)
    with LocalNodes(home) as nodes:
        node = nodes.nodes["procurement"]
        node.log.write_text("tally: 127.0.0.1:19911 is taken\n")
        nodes.start()
        assert node.process is not None
        node.process.kill()
        with pytest.raises(ProcessError, match="the node of procurement ended: killed by SIGKILL"):
            nodes.wait_ready(timeout_s=60)


def test_addresses_of_this_machine() -> None:
    from node.config import Address

    assert local_url(Address("0.0.0.0", 5)) == "http://127.0.0.1:5"
    assert local_url(Address("::", 5)) == "http://[::1]:5"
    assert local_url(Address("127.0.0.1", 5)) == "http://127.0.0.1:5"
