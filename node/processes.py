"""Nodes of a development folder as child processes: start, wait until they agree, stop.

For `tally up`, the demonstration, the benchmark and tests. A child writes what it says to ``DIR/<member>/node.log``;
it is ended by its process id only, with SIGTERM first. Without trio: callers are plain scripts.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from node import config as configuration
from node.config import Address

CONFIG_FILE: Final = "node.toml"
LOG_FILE: Final = "node.log"
READY_S: Final = 30.0
STOP_S: Final = 10.0
POLL_S: Final = 0.1
FIRST_PORT: Final = 20_000
EPHEMERAL: Final = 32_000
"""Past here (from 32,768) Linux gives ports to outgoing connections: one could take a port between look and use."""
ROOT: Final = Path(__file__).resolve().parent.parent


class ProcessError(RuntimeError):
    """A node that does not start, answer or stop; one line that says where to look."""


@dataclass
class NodeProcess:
    """One node. ``process`` is None while it does not run."""

    member: str
    folder: Path
    api: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / LOG_FILE

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process is not None and self.process.poll() is None

    def status(self, timeout_s: float = 2.0) -> dict[str, Any] | None:
        """What /v1/status answers, None while it does not."""
        try:
            with _opener.open(f"{self.api}/v1/status", timeout=timeout_s) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except (OSError, ValueError):
            return None

    def last_words(self) -> str:
        """Why it ended: the signal that killed it, else what it said itself, else the last line of its log."""
        ended = None if self.process is None else self.process.poll()
        if ended is not None and ended < 0:
            return f"killed by {signal.Signals(-ended).name}"
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        said = [line for line in lines if line.startswith("tally: ")]
        return (said or lines or [""])[-1].removeprefix("tally: ")[:300]


class LocalNodes:
    """The nodes of one development folder. Use as a context manager: whatever was started is stopped."""

    def __init__(self, directory: Path, members: Sequence[str] | None = None) -> None:
        """``members``: which of them, in this order; default all, sorted. Raises ProcessError, ConfigError."""
        found = sorted(path.parent.name for path in directory.glob(f"*/{CONFIG_FILE}"))
        if not found:
            raise ProcessError(f"{directory} holds no node: make a consortium with `tally genesis dev {directory}`")
        for member in members or ():
            if member not in found:
                raise ProcessError(f"{directory} has no node of {member!r}: there are {', '.join(found)}")
        self.directory = directory
        self.nodes = {member: _node(directory / member) for member in members or found}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *members: str) -> None:
        """Start nodes (all without names); one that runs already is left alone."""
        for member in members or tuple(self.nodes):
            node = self.nodes[member]
            if not node.running:
                node.process = _spawn(node)

    def wait_ready(self, *members: str, timeout_s: float = READY_S) -> None:
        """Until each answers and is connected to enough validators to agree. Raises ProcessError."""
        waiting = list(members or self.nodes)
        deadline = time.monotonic() + timeout_s
        while waiting:
            for member in list(waiting):
                node = self.nodes[member]
                if not node.running:
                    raise ProcessError(f"the node of {member} ended: {node.last_words()} (see {node.log})")
                status = node.status()
                if status is not None and status["member"] != member:
                    raise ProcessError(f"{node.api} answers for {status['member']}, not {member}: stop that node")
                if status is not None and _agrees(status):
                    waiting.remove(member)
            if waiting and time.monotonic() > deadline:
                raise ProcessError(
                    f"{', '.join(waiting)} not ready after {timeout_s:.0f} s: see {self.nodes[waiting[0]].log}"
                )
            if waiting:
                time.sleep(POLL_S)

    def kill(self, member: str) -> None:
        """End one node as a power cut would (SIGKILL)."""
        node = self.nodes[member]
        if node.process is not None:
            node.process.kill()
            node.process.wait()

    def ended(self) -> list[NodeProcess]:
        """Nodes that were started and run no more."""
        return [node for node in self.nodes.values() if node.process is not None and not node.running]

    def stop(self, *members: str, timeout_s: float = STOP_S) -> None:
        """SIGTERM, and SIGKILL for one that does not go; all of them without names."""
        chosen = [self.nodes[member] for member in members or tuple(self.nodes)]
        going = [node.process for node in chosen if node.process is not None]
        for process in going:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        for process in going:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for node in chosen:
            node.process = None


_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def local_url(address: Address) -> str:
    """Where a process of this machine reaches what listens on an address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    return f"http://{Address(host, address.port)}"


def _node(folder: Path) -> NodeProcess:
    config = configuration.load(folder / CONFIG_FILE)
    return NodeProcess(config.member, folder.absolute(), local_url(config.api.listen))


def _spawn(node: NodeProcess) -> subprocess.Popen[bytes]:
    """A child in a session of its own: a ^C at the terminal reaches the parent, which stops it in order."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with node.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "node", str(node.folder / CONFIG_FILE)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=node.folder,
            env=environment,
            start_new_session=True,
        )


def _agrees(status: dict[str, Any]) -> bool:
    """Connected to a quorum of validators, itself counted where it votes."""
    validators = set(status["validators"])
    reached = validators & {*status["connected"], *([status["member"]] if status["validator"] else [])}
    return len(reached) >= (2 * len(validators) - 1) // 3 + 1


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports that nobody uses on loopback. Raises ProcessError."""
    bases = range(FIRST_PORT, EPHEMERAL - count, count)
    for base in random.sample(bases, len(bases)):
        if all(_is_free(port) for port in range(base, base + count)):
            return base
    raise ProcessError(f"no {count} neighbouring ports are free on 127.0.0.1: end what listens there")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
