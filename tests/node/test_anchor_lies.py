"""A validator that reports an anchor that never was does not keep the others from making it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts import anchor_kinds
from node.anchor_line import Consortium
from node.devchain_blocks import CHAIN_ID
from tests.anchor_bench import Bench, Devchain, Loop


class Read(Bench):
    """Whose confirmations are there to be re-checked, as in the consortium's state."""

    def consortium(self) -> Consortium:
        return Consortium(self.source, self.confirm, self.standing, self.claims, self.known)

    def claims(self, number: int) -> Sequence[dict[str, Any]]:
        return [{**claim, "place": anchor_kinds.place(claim["backend"], claim)} for claim in self.confirmed[number:]]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Read]:
    loop = Loop()
    bench = Read(tmp_path, loop)
    yield bench
    for anchorer in bench.made:
        loop.run(anchorer.close)
    loop.stop()


def test_a_lie_is_alarmed_and_the_anchor_made_all_the_same_also_after_a_restart(bench: Read) -> None:
    public = Devchain()
    public.start()
    try:
        garbage: dict[str, Any] = {"backend": "evm", "size": 9, "root": bytes(32), "public_time": 1, "proof": b"p"}
        garbage |= {"chain_id": CHAIN_ID, "block_number": 1, "block_hash": bytes(32), "tx_hash": bytes(32)}
        bench.confirmed.append({"by": "buyer", "sender": bytes(20), **garbage})
        anchorer = bench.anchorer(public.url)
        bench.rounds(anchorer, 2)
        assert anchorer.status()["mismatches"] == 1
        assert bench.job() is not None, "the lie covers nothing here"
        bench.loop.run(anchorer.close)
        anchorer = bench.anchorer(public.url)
        bench.rounds(anchorer)
        public.mine(3)
        bench.rounds(anchorer, 2)
        assert [(claim["by"], claim["size"]) for claim in bench.confirmed] == [("buyer", 9), ("erp", 8)]
        bench.rounds(anchorer, 2)
        assert bench.job() is None, "what is confirmed in truth is not anchored again"
        assert anchorer.status()["mismatches"] == 0
    finally:
        public.stop()
