"""How long a bundle takes to make and to check, and how large it is: ``python -m tests.evidence_speed``.

A real case in this process with so many documents: each a record with its original, proved on its member's chain, its
state, disputes, pledges and confirmations as of the bundle's block; two public anchors. The verifier starts cold.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

from tallystick.evidence import PASS, verify_bundle
from tallystick.evidence.walk import PaperName
from tests.contracts import trading
from tests.contracts.trading import BUYER, SUPPLIER
from tests.evidence_bundle import PAPERS, Publics, anchor, bundle, told
from tests.evidence_case import CaseWorld

DOCUMENTS = 50
OWN = 10
"""Records that the small case has anyway."""
ROUNDS = 5


class LongTrade(CaseWorld):
    """The same story with more despatches before the case is opened."""

    more: ClassVar[int] = 0

    def open_case(self) -> None:
        """See CaseWorld."""
        fields = {"issue_date": "2026-06-20", "lines": [trading.line("1")]}
        link = [("order", BUYER, "O-1")]
        papers = [
            self.paper("erp", "despatch", f"E-{number}", SUPPLIER, fields, link, occurred_at="2026-06-20")
            for number in range(self.more)
        ]
        if papers:
            self.tell(self.sealing(*papers))
        super().open_case()


@dataclass(frozen=True)
class Figures:
    """Of one bundle; the times are the best of several."""

    documents: int
    size: int
    made_s: float
    checked_s: float
    cpu_s: float
    """Of this process, to check it: what a machine that does nothing else takes."""


def measure(documents: int = DOCUMENTS, rounds: int = ROUNDS) -> Figures:
    """Make and check a bundle with so many documents."""
    kind = type("LongTradeOf", (LongTrade,), {"more": max(0, documents - OWN)})
    publics = Publics()
    world = told(publics, kind=kind)
    checkpoint = anchor(world, publics)
    names = [PaperName("erp", "despatch", SUPPLIER, f"E-{number}") for number in range(max(0, documents - OWN))]
    made, checked, cpu, data = [], [], [], b""
    for _ in range(rounds):
        begun = time.perf_counter()
        data = bundle(world, checkpoint.size, papers=tuple(sorted((*PAPERS, *names))))
        made.append(time.perf_counter() - begun)
        begun, worked = time.perf_counter(), time.process_time()
        verdict = verify_bundle(data, world.network_id, publics.trusted())
        checked.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - worked)
        assert verdict.status == PASS, verdict.failed
    records = sum(len(paper["versions"]) for paper in verdict.facts["papers"])
    return Figures(records, len(data), min(made), min(checked), min(cpu))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    found = measure(parser.parse_args().documents)
    print(f"{found.documents} documents, {found.size / 1e6:.2f} MB")
    print(f"made in {found.made_s:.3f} s, checked in {found.checked_s:.3f} s: {found.cpu_s:.3f} s of one core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
