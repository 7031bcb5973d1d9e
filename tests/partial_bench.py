"""What light clients and partial observers cost, measured in one process on a ledger made here.

``python -m tests.partial_bench [BLOCKS]`` prints a JSON object; the figures with their conditions are in
docs/light-client.md and docs/partial-observers.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from chain.block import CONSORTIUM
from chain.codec import encode
from chain.partial import PartialLedger
from chain.parts import chain_block_of, part_of
from chain.proof import prove_transaction
from chain.store import LevelStore
from chain.verification import compact
from chain.witness import open_keys
from node.headers_api import MAX_HEADERS, headers_after
from tallystick.headers import HeaderChain, sync
from tests.chain.chain_builder import Consortium, record

EVERY = 4
"""One block in so many has a transaction of ten records of the followed chain."""


def measure(blocks: int) -> dict[str, Any]:
    """Figures of a network of ``blocks`` blocks with four validators and five chains; seconds and bytes."""
    with tempfile.TemporaryDirectory() as folder:
        full = network(blocks, Path(folder) / "full")
        return {"blocks": blocks, **headers(full, Path(folder)), **receipts(full), **partial(full, Path(folder))}


def network(blocks: int, folder: Path) -> Consortium:
    full = Consortium(store=LevelStore(folder, create=True))
    for height in range(1, blocks + 1):
        sealed = [record(f"{height}.{number}") for number in range(10)]
        full.seal(*([full.submit("erp", *sealed)] if height % EVERY == 1 else []))
    return full


def headers(full: Consortium, folder: Path) -> dict[str, Any]:
    path, sent = folder / "headers", [0]

    def node(after: int) -> bytes:
        answer = headers_after(full.ledger, after, MAX_HEADERS).encode()
        sent[0] += len(answer)
        return answer

    answering = timed(lambda: [node(after) for after in range(0, full.ledger.height, MAX_HEADERS)])
    sent[0] = 0
    took = timed(lambda: sync(path, full.network_id, [node]))
    opened = timed(lambda: HeaderChain(path, full.network_id))
    count = full.ledger.height
    return {
        "header_bytes_encoded": len(full.ledger.head.encoded),
        "header_bytes_synced": round(sent[0] / count, 1),
        "header_bytes_on_disk": round(path.stat().st_size / count, 1),
        "headers_synced_per_s": round(count / max(took - answering, 1e-9)),
        "headers_verified_per_s": round(count / opened),
        "headers_served_per_s": round(count / answering),
    }


def receipts(full: Consortium) -> dict[str, Any]:
    whole = prove_transaction(full.ledger, full.ledger.receipts(1)["erp"][0].tx_id)
    return {"proof_bytes": len(whole), "compact_receipt_bytes": len(compact(whole))}


def partial(full: Consortium, folder: Path) -> dict[str, Any]:
    ledger = PartialLedger.create(LevelStore(folder / "partial", create=True), full.document, ("erp",))
    count = full.ledger.height
    parts = [part_of(full.ledger, height) for height in range(1, count + 1)]
    making = timed(lambda: [part_of(full.ledger, height).encode() for height in range(1, count + 1)])
    sizes = [len(part.encode()) for part in parts]
    taking = timed(lambda: [ledger.take(parts[at : at + 16]) for at in range(0, count, 16)])
    figures = Figures()
    running = timed(lambda: execute(full, ledger, figures))
    assert ledger.tree("erp").root == full.ledger.tree("erp").root
    ledger.close()
    return {
        "part_bytes_of_an_idle_block": min(sizes),
        "parts_made_per_s": round(count / making),
        "parts_checked_and_kept_per_s": round(count / taking),
        "chain_blocks_executed_per_s": round(figures.blocks / (running - figures.serving_s)),
        "witness_bytes_of_a_block": round(figures.witness_bytes / figures.blocks),
        "witness_keys_of_a_block": round(figures.keys / figures.blocks, 1),
        "serving_ms_of_a_chain_block": round(1000 * figures.serving_s / figures.blocks, 2),
    }


class Figures:
    """What serving the followed chain took."""

    blocks = keys = witness_bytes = 0
    serving_s = 0.0


def execute(full: Consortium, ledger: PartialLedger, figures: Figures) -> None:
    while (coming := ledger.pending("erp")) is not None:
        begun = time.perf_counter()
        block = chain_block_of(full.ledger, "erp", coming.head.height)
        figures.serving_s += time.perf_counter() - begun
        run = ledger.begin("erp", block)
        while keys := run.wanted():
            begun = time.perf_counter()
            tree = full.ledger.tree(CONSORTIUM, coming.height - 1)
            opening = open_keys(tree, keys)
            values = [full.ledger.state_bytes(CONSORTIUM, key, coming.height - 1) for key in keys]
            known = [None if is_known(ledger, key, value) else value for key, value in zip(keys, values, strict=True)]
            figures.witness_bytes += len(encode([opening, known]))
            figures.serving_s += time.perf_counter() - begun
            figures.keys += len(keys)
            run.prove(keys, opening, known, ledger.known)
        ledger.commit(run)
        figures.blocks += 1


def is_known(ledger: PartialLedger, key: bytes, value: bytes | None) -> bool:
    """As a serving node finds it: by the hash of the value that the asker has."""
    held = ledger.known.get(key)
    return value is not None and held is not None and sha256(held).digest() == sha256(value).digest()


def timed(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000), indent=2))
