"""What partial observers take of validators: four of these under load, as processes, without and with two observers.

``python -m tests.partial_live [SECONDS]`` prints a line for each phase; the figures with their conditions are in
docs/partial-observers.md.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.live_network import MEMBERS, Live, Load

FOLLOWS = {"one": ["erp"], "two": ["guarantor", "lender"]}
RATE = 120.0
"""Transactions of one record a second, spread over the four chains."""
SETTLE_S = 15.0


def measure(seconds: float) -> None:
    """Print processor time of the validators a transaction, and what of it serving took."""
    with tempfile.TemporaryDirectory() as folder, Live(Path(folder), observers=tuple(FOLLOWS)) as live:
        for observer, chains in FOLLOWS.items():
            path = live.folder / observer / "node.toml"
            path.write_text(f"follow = {json.dumps(chains)}\n{path.read_text()}")
        live.start(*MEMBERS)
        with Load(live, rate=RATE) as load:
            time.sleep(SETTLE_S)
            phase(live, load, seconds, "without")
            live.nodes.start(*FOLLOWS)
            time.sleep(SETTLE_S)
            phase(live, load, seconds, "with")
            for observer in FOLLOWS:
                status = live.status(observer)
                behind = [row["height"] - row["executed"] for row in status["chains"] if row["mode"] == "executed"]
                print(observer, {"blocks of its chains behind": behind, "faults": status["faults"]}, flush=True)
            load.drain()


def phase(live: Live, load: Load, seconds: float, name: str) -> None:
    cpu, serving, told = total(live, "cpu_seconds"), total(live, "partial_serving_seconds"), len(load.told)
    time.sleep(seconds)
    cpu, serving = total(live, "cpu_seconds") - cpu, total(live, "partial_serving_seconds") - serving
    done = len(load.told) - told
    found = {
        "transactions_per_s": round(done / seconds, 1),
        "validators_cpu_ms_per_transaction": round(1000 * cpu / max(1, done), 2),
        "serving_share_of_that_percent": round(100 * serving / cpu, 2),
    }
    print(name, json.dumps(found), flush=True)


def total(live: Live, name: str) -> float:
    """A counter of all validators together."""
    found = 0.0
    for member in MEMBERS:
        with urllib.request.urlopen(f"{live.node(member).api}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        match = re.search(rf"^tally_{name}_total ([\d.e+-]+)$", text, re.MULTILINE)
        assert match is not None, name
        found += float(match.group(1))
    return found


if __name__ == "__main__":
    measure(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
