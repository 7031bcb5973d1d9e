"""Starts `network_peer.py` as a process and reads its lines, in a network namespace where one is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}


class PeerProcess:
    """A running peer and every line it has printed."""

    def __init__(
        self,
        member: str,
        listen: str,
        peers: dict[str, tuple[str, int]],
        *,
        limits: dict[str, Any] | None = None,
        namespace: str | None = None,
        flood: Sequence[str] = (),
    ) -> None:
        config = {"member": member, "listen": listen, "peers": peers, "limits": limits or {}, "flood": list(flood)}
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        self.member = member
        self.lines: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [*inside, sys.executable, "-m", "tests.network_peer", json.dumps(config)],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def count(self, what: str, **fields: object) -> int:
        """How many lines so far say `what` with these fields."""
        wanted = {"what": what, **fields}
        return sum(wanted.items() <= line.items() for line in list(self.lines))

    def wait(self, what: str, times: int = 1, within_s: float = 15.0, **fields: object) -> float:
        """Wait until `what` was said so often; return how long that took, in seconds."""
        return wait(
            lambda: self.count(what, **fields) >= times, f"{self.member}: {times} x {what} {fields}", within_s
        )

    def stop(self) -> None:
        """Kill it and take its exit status."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def wait(condition: Callable[[], bool], what: str, within_s: float = 15.0) -> float:
    """Poll `condition`; fail by name when it does not come true in time. Returns the seconds it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.01)
    return time.monotonic() - began
