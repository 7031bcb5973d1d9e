"""Bitcoin time stamps killed with SIGKILL at every step: no range lost, nothing final unknown to the chain.

    python -m tests.ots_kills --times 20

As ``tests.anchor_kills`` does it for public chains with accounts: real processes over a ledger on disk, killed at
each step in turn, some a second time. Calendar and Bitcoin chain are a process of their own that goes on; now and
then its newest blocks are reorganised away, and what the calendar had in them goes into others.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import httpx

from chain.anchor import Anchor, Trusted
from chain.bitcoin import of_shown
from chain.crypto import sha256
from chain.ots import OtsProof
from node import anchor_settings
from node.anchor_journal import AnchorJournal
from node.anchor_ots import OtsBackend
from tests.anchor_kills import check, run_process, steps_of
from tests.bitcoin_chain import BitcoinChain, BitcoinServer
from tests.ots_calendar_server import Calendar

TICK_S: Final = 0.02
ON_TOP: Final = 8
"""Blocks that follow a stamp's; a stamp is final under six."""
SHARE: Final = 0.25
"""Of the cases that are reorganised, and of those that are killed twice."""


class Outside:
    """What the parent knows of the process with calendar and chain."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.ots_kills", "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.bitcoin, self.calendar = self._process.stdout.readline().split()

    def close(self) -> None:
        """End it: it reads to the end of its input."""
        self._process.communicate()

    def block_hash(self, height: int) -> bytes:
        """As the chain has it now."""
        return of_shown(self._call("getblockhash", height))

    def reorganise(self) -> None:
        """Take the newest blocks away; others follow at once."""
        self._call("rewind", 3)

    def digests(self) -> Counter[str]:
        """How often each digest was handed in."""
        return Counter(self._call("digests"))

    def _call(self, method: str, *params: Any) -> Any:
        request = {"id": 1, "method": method, "params": params}
        answer = httpx.post(self.bitcoin, json=request, trust_env=False, timeout=30).json()
        assert answer["error"] is None, answer
        return answer["result"]


class _Chain(BitcoinChain):
    """A chain that the parent can reorganise, and ask what its calendar was given."""

    calendar: Calendar

    def call(self, method: str, params: list[Any]) -> Any:
        match method, params:
            case "rewind", [int(count)]:
                with self.calendar.lock:
                    self.rewind(min(count, self.height))
                    self.calendar.stamped.clear()
                return None
            case "digests", []:
                return [digest.hex() for digest in self.calendar.asked]
        return super().call(method, params)


def serve() -> None:
    """Calendar and chain until the input ends."""
    chain = _Chain()
    chain.calendar = calendar = Calendar(chain)
    server = BitcoinServer(chain)
    ended = threading.Event()

    def tick() -> None:
        enough = ON_TOP
        while not ended.wait(TICK_S):
            if calendar.waiting:
                enough = calendar.stamp() + ON_TOP
            elif chain.height < enough:
                chain.mine()

    ticker = threading.Thread(target=tick)
    ticker.start()
    print(server.url, calendar.url, flush=True)
    sys.stdin.read()
    ended.set()
    ticker.join()
    server.close()
    calendar.close()


def hurried(*arguments: Any, **options: Any) -> OtsBackend:
    """Looks at its stamps at every round, not every ten minutes."""
    return OtsBackend(*arguments, **{**options, "poll_seconds": 0})


def verify(folder: Path, outside: Outside, digests: Counter[str]) -> None:
    """Every exported anchor holds, by the chain as it is now; its digest is one that the calendar was given."""
    for path in sorted(folder.glob("anchors/final/*/ots.json")):
        anchor = Anchor.from_json(json.loads(path.read_bytes()))
        height = OtsProof.decode(anchor.proof).height
        trusted = Trusted(bitcoin_blocks={height: outside.block_hash(height)}, development=True)
        assert anchor.verify(anchor.checkpoint.network_id, trusted).block == height
        assert digests[sha256(anchor.checkpoint.body).hex()]
    assert not AnchorJournal(folder / "anchors/ots.journal").book.jobs


def run(times: int, *, every: int = 1) -> dict[str, int]:
    """The measurement. every: only each so-manieth step, for a small instance. Raises AssertionError."""
    chooser = random.Random(5)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        outside = Outside()
        stack.callback(outside.close)
        stack.enter_context(patch.object(anchor_settings, "OtsBackend", hurried))
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Of a node that anchors by stamps alone: no account, no gas.
        settings: dict[str, Any] = {
            "development_account": None,
            "ots": {"calendars": [outside.calendar], "bitcoin": [outside.bitcoin]},
        }
        names = steps_of(base, settings)
        counts["steps"] = len(names)
        for number in range(times):
            folder = base / f"time {number}"
            for fatal in names[number % every :: every]:
                counts["killed"] += not run_process(folder, settings, fatal)
                if chooser.random() < SHARE:
                    outside.reorganise()
                    counts["reorganised"] += 1
                if chooser.random() < SHARE:
                    counts["killed again"] += not run_process(folder, settings, chooser.choice(names))
                assert run_process(folder, settings, None)
            counts["anchors"] += check(folder, None)
            verify(folder, outside, outside.digests())
        counts["digests handed in"] = sum(outside.digests().values())
    return dict(counts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--serve", action="store_true", help="be the process outside")
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    began = time.monotonic()
    counts = run(arguments.times)
    print(", ".join(f"{name}: {count}" for name, count in counts.items()), f"in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
