"""Published and matched in real blocks; and the same under every hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chain.block import CONSORTIUM
from chain.crypto import SigningKey
from chain.ledger import Ledger
from chain.store import MemoryStore
from chain.transaction import Transaction, make_body, sign
from tests.contracts import market_data
from tests.contracts.market_data import loans
from tests.contracts.memory_context import START
from tests.contracts.small_consortium import document

ROOT = Path(__file__).resolve().parents[2]


def test_a_regulators_block_holds_the_data_and_the_largest_upload_fits() -> None:
    base = document()
    secrets = {member: SigningKey.generate() for member in ("regulator", *(m["id"] for m in base["members"]))}
    base["members"].append(
        {"id": "regulator", "role": "regulator", "validator": None, "network": None, "signers": []}
    )
    for member in base["members"]:
        member["signers"] = [{"key": secrets[member["id"]].public, "rights": ["*"]}]
    base["templates"] = [json.loads((ROOT / "genesis/templates/bench.json").read_text())]
    base["models"] = [json.loads((ROOT / "genesis/models/standard-1.json").read_text())]
    base["contracts"] |= {"market": 1, "match": 1}
    ledger = Ledger.create(MemoryStore(), base)
    rows = [
        row for lot in range(60) for row in loans("lender", 1_000_000 + 500_000 * (lot % 9), 250, tenor_months=lot)
    ]

    def send(name: str, args: dict[str, Any], chain: str, by: str) -> Transaction:
        contract, method = name.split(".")
        body = make_body(
            network_id=ledger.network_id,
            chain=chain,
            contract=contract,
            method=method,
            args=args,
            signers=[secrets[by].public],
            nonce=bytes(16),
            valid_until=START + 60_000,
        )
        return sign(body, [secrets[by]])

    upload = send("market.publish", {"dataset": market_data.document(rows)}, "regulator", "regulator")
    asked = send("match.lender", {"application": bytes(32)}, CONSORTIUM, "erp")
    _, outcome = ledger.build(
        proposer="erp", time=START + 1_000, member_txs={"regulator": [upload]}, consortium_txs=[asked]
    )
    (published,) = outcome.receipts("regulator")
    assert (published.code, published.result["rows"]) == ("", 15_000)
    _, matched = outcome.receipts(CONSORTIUM)
    assert matched.code == "UNKNOWN_APPLICATION"


@pytest.mark.slow
def test_a_match_is_the_same_under_every_hash_seed() -> None:
    code = (
        "from tests.contracts import test_match as t\n"
        "on = t.consortium()\n"
        "rows = [*t.loans('lender', 9_000_000), *t.loans('lender-b', t.NEAR)]\n"
        "rows += t.loans('XB', t.NEAR, industry='45')\n"
        "t.publish(on, rows, institutions=('XB',))\n"
        "t.ok(t.call(on, 'lender', t.asked(on)))\n"
        "print(on.head('consortium')[2].hex(), on.head('regulator')[2].hex())\n"
    )
    roots = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("1", "77")
    }
    assert len(roots) == 1
    assert len(roots.pop().split()[1]) == 64
