"""Several nodes of one machine as child processes: for ``tally up``, ``make demo`` and ``tally bench``.

Only processes started here are ever signalled, by their process ids.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node import config as configuration

READY_S: Final = 60.0
STOP_S: Final = 10.0


class ProcessError(RuntimeError):
    """A node did not start or ended; one line that says where to look."""


@dataclass
class NodeProcess:
    """One node: its member id, configuration, API address and log file."""

    member: str
    config: Path
    url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self.process is None or self.process.poll() is not None else self.process.pid


class Processes:
    """The nodes of a folder made by ``tally genesis dev``, or of any node.toml files."""

    def __init__(self, configs: Sequence[Path]) -> None:
        """Raises ConfigError for a configuration that cannot be used."""
        self.nodes: dict[str, NodeProcess] = {}
        for path in configs:
            settings = configuration.load(path)
            self.nodes[settings.member] = NodeProcess(
                settings.member, path, f"http://{settings.api.listen}", path.parent / "node.log"
            )

    @classmethod
    def of_folder(cls, folder: Path, members: Sequence[str] | None = None) -> Processes:
        """Every member's node below a development folder, or the named ones."""
        found = sorted(path for path in folder.glob("*/node.toml"))
        chosen = [path for path in found if members is None or path.parent.name in members]
        if not chosen:
            raise ProcessError(f"{folder} holds no <member>/node.toml: make one with `tally genesis dev {folder}`")
        return cls(chosen)

    def start(self, *members: str) -> None:
        """Start the named nodes (all by default); does not wait."""
        for member in members or tuple(self.nodes):
            node = self.nodes[member]
            if node.pid is not None:
                continue
            with node.log.open("ab") as log:
                node.process = subprocess.Popen(
                    [sys.executable, "-m", "node.main", str(node.config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )

    def wait_ready(self, *members: str, timeout_s: float = READY_S) -> None:
        """Wait until the nodes answer and have a quorum's links. Raises ProcessError."""
        deadline = time.monotonic() + timeout_s
        for member in members or tuple(self.nodes):
            node = self.nodes[member]
            while not _is_ready(node):
                if node.pid is None:
                    raise ProcessError(f"the node of {member} ended: {last_line(node.log)}")
                if time.monotonic() > deadline:
                    raise ProcessError(f"the node of {member} is not ready after {timeout_s:.0f} s: see {node.log}")
                time.sleep(0.05)

    def kill(self, member: str) -> None:
        """SIGKILL one node and wait until it is gone."""
        process = self.nodes[member].process
        if process is not None:
            process.kill()
            process.wait()

    def stop(self, *members: str) -> None:
        """SIGTERM, then SIGKILL for what does not end."""
        running = [node for name, node in self.nodes.items() if not members or name in members]
        processes = [node.process for node in running if node.process is not None]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ended(self) -> str | None:
        """A sentence about a started node that ended by itself, or None."""
        for node in self.nodes.values():
            if node.process is not None and node.process.poll() is not None:
                return f"the node of {node.member} ended: {last_line(node.log)}"
        return None


def status_of(url: str, timeout_s: float = 2.0) -> dict[str, Any] | None:
    """A node's /v1/status, or None when it does not answer."""
    try:
        with urllib.request.urlopen(f"{url}/v1/status", timeout=timeout_s) as answer:
            value: dict[str, Any] = json.load(answer)
            return value
    except (urllib.error.URLError, OSError, ValueError):
        return None


def usage_of(pid: int) -> tuple[float, int]:
    """(CPU seconds so far, resident bytes) of a process, from /proc."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / ticks, pages * os.sysconf("SC_PAGE_SIZE")


def last_line(log: Path) -> str:
    """The last line of a log, cut to a readable length."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return f"see {log}"
    return lines[-1][:300] if lines else f"see {log}"


def _is_ready(node: NodeProcess) -> bool:
    status = status_of(node.url)
    if status is None:
        return False
    needed = (2 * len(status["validators"]) - 1) // 3
    return len(status["connected"]) >= needed
