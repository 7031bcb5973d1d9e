"""How fast ``tally ingest`` takes a table in, and what it costs: ``python -m tests.intake_speed [--records 50000]``.

Four fresh validators; each of ``--members`` members runs ``tally ingest`` on a CSV file of its own at the same time,
every row a record of ten template-checked fields under the template ``bench``. Prints one JSON object: records a
second, from the start of the first command to the end of the last, and processor time a record of command and node.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from node.bench import usage_of
from tests.live_network import MEMBERS, ROOT, Live

COLUMNS = (
    "delivery", "supplier", "amount", "batch", "carrier", "issue_date", "item", "price", "quantity",
    "received_date", "unit", "warehouse",
)  # fmt: skip
FIELDS = COLUMNS[2:]
MAPPING: dict[str, Any] = {
    "name": "bench",
    "version": 1,
    "own": {"id": "BENCH:buyer"},
    "table": {
        "kind": "delivery",
        "number": "delivery",
        "issuer": "own",
        "enterprise": {"column": "supplier"},
        "counterparty": "own",
        "occurred_at": {"column": "received_date", "type": "date"},
        "fields": {name: name for name in FIELDS},
    },
}


def write_table(path: Path, records: int, first: int = 0, day: str = "2026-11-20") -> None:
    """A CSV file of deliveries of a day, a row each."""
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        for serial in range(first, first + records):
            row = (
                f"D{serial:010}", f"BENCH:{serial % 2_000}", f"{100 + serial % 900}.50", f"B{serial % 1_000}",
                "Example Carrier", day, f"item {serial % 500}", f"{10 + serial % 80}.25",
                str(1 + serial % 90), day, "C62", f"W{serial % 20}",
            )  # fmt: skip
            file.write(",".join(row) + "\n")


def ingest(live: Live, member: str, table: Path, mapping: Path) -> subprocess.Popen[str]:
    """``tally ingest`` as a process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    command = [sys.executable, "-c", "from cli.main import main; main()", "ingest", str(table), "--json"]
    options = ["--mapping", str(mapping), "--template", "bench", "--home", str(live.folder), "--as", member]
    return subprocess.Popen(
        [*command, *options],
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def measure(folder: Path, records: int, members: int) -> dict[str, Any]:
    """Run it once. Raises AssertionError where a record did not go in."""
    chosen = MEMBERS[:members]
    mapping = folder / "mapping.json"
    mapping.write_text(json.dumps(MAPPING))
    share = records // members
    with Live(folder) as live:
        live.start()
        tables = {}
        for index, member in enumerate(chosen):
            tables[member] = folder / f"{member}.csv"
            write_table(tables[member], share, index * share)
        pids = {member: live.node(member).process.pid for member in MEMBERS}  # type: ignore[union-attr]  # started
        before = {member: usage_of(pid)[0] for member, pid in pids.items()}
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.perf_counter()
        running = [ingest(live, member, tables[member], mapping) for member in chosen]
        outs = [process.communicate()[0] for process in running]
        seconds = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        for process, out in zip(running, outs, strict=True):
            assert process.returncode == 0, out[-1_000:]
            assert json.loads(out)["records"] == {"sealed": share}
        spent = {member: usage_of(pid)[0] - before[member] for member, pid in pids.items()}
        command_s = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    total = share * members
    return {
        "records": total,
        "commands": members,
        "seconds": round(seconds, 2),
        "records_per_s": round(total / seconds),
        "command_cpu_us_per_record": round(command_s / total * 1e6, 1),
        "node_cpu_us_per_record": round(sum(spent.values()) / len(spent) / total * 1e6, 1),
        "cores": os.cpu_count(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--members", type=int, default=1, choices=range(1, len(MEMBERS) + 1))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tally-intake-") as folder:
        print(json.dumps(measure(Path(folder), chosen.records, chosen.members), indent=1))


if __name__ == "__main__":
    main()
