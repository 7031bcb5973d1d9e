"""What a vault costs: ``python -m tests.vault_speed [documents] [bytes each]``. Figures stand in docs/custody.md.

Documents go in by requests of 4 MiB, as intake sends them; then the roots of three custodians, one custodian's
copies, and documents read one by one. Seconds of the clock and of the processor (all threads of this process).
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.vault_tools import CUSTODIANS, Home, items

REQUEST = 4 * 1024 * 1024


class Cost(NamedTuple):
    """Of one step for all documents: seconds of the clock and of the processor."""

    clock: float
    processor: float


class Measured(NamedTuple):
    """So many documents of ``size`` bytes. costs: of put, roots, copies; get_p50, get_p99: seconds; memory: bytes."""

    documents: int
    size: int
    costs: tuple[Cost, ...]
    get_p50: float
    get_p99: float
    memory: int

    def lines(self) -> list[str]:
        """For people."""
        total = self.documents * self.size / 1e6
        rows = [f"{self.documents} documents of {self.size} bytes, {total:.0f} MB"]
        for name, cost in zip(("put", "roots of 3", "copies of 1"), self.costs, strict=True):
            each = cost.processor / self.documents * 1e6
            rows.append(f"{name:12} {cost.clock:7.2f} s  {total / cost.clock:6.0f} MB/s  {each:6.0f} us of CPU each")
        rows.append(f"get          p50 {self.get_p50 * 1e3:.2f} ms  p99 {self.get_p99 * 1e3:.2f} ms")
        return [*rows, f"memory       {self.memory / 1e6:.0f} MB at most"]


def measure(folder: Path, count: int, size: int) -> Measured:
    """One run in an empty folder."""
    home = Home(folder)
    vault = home.open()
    pattern = random.Random(1).randbytes(size)
    each = max(1, REQUEST // size)
    names: list[bytes] = []
    costs: list[Cost] = []
    with _measured(costs):
        for start in range(0, count, each):
            numbers = range(start, min(start + each, count))
            names += vault.put_many(items([number.to_bytes(8, "big") + pattern[8:] for number in numbers]))
    home.now += 2
    deposits = vault.ready()
    with _measured(costs):
        for number, deposit in enumerate(deposits):
            vault.roots(deposit.id, CUSTODIANS)
            vault.numbered(deposit.id, number)
    with _measured(costs):
        for number, deposit in enumerate(deposits):
            for index in range(deposit.objects):
                vault.copy(number, index, CUSTODIANS[0])
    waits = []
    for name in random.Random(2).sample(names, min(1_000, count)):
        begun = time.perf_counter()
        vault.get(name)
        waits.append(time.perf_counter() - begun)
    vault.close()
    cuts = statistics.quantiles(waits, n=100)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Measured(count, size, tuple(costs), cuts[49], cuts[98], memory)


@contextmanager
def _measured(costs: list[Cost]) -> Iterator[None]:
    clock, times = time.perf_counter(), os.times()
    yield
    after = os.times()
    costs.append(Cost(time.perf_counter() - clock, after.user + after.system - times.user - times.system))


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    count, size = [*given, *(10_000, 100_000)[len(given) :]]
    with tempfile.TemporaryDirectory() as made:
        print("\n".join(measure(Path(made), count, size).lines()))
