"""Evidence tied to a public chain: anchored by a running node, checked after node and public chain have stopped."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from cli.evidence import anchored_log
from cli.session import api_url
from genesis.dev import make_dev
from node.devchain import DevServer
from node.processes import LocalNodes
from tallystick.client import Client

pytestmark = pytest.mark.slow

PORT = 19_500
QUICK = {"max_idle_ms": 500}


def test_anchored_evidence(tmp_path: Path, tally: Any) -> None:
    home = tmp_path / "net"
    record, path, trust = tmp_path / "x.proof", tmp_path / "anchored.bundle", tmp_path / "trust.json"
    with DevServer(block_time=0.1) as public:
        made = make_dev(home, members=1, observers=(), base_port=PORT, anchor_rpc_url=public.url, parameters=QUICK)
        who = ("--home", home, "--as", "procurement", "--json")
        with LocalNodes(home) as nodes:
            nodes.start()
            nodes.wait_ready(timeout_s=60)
            done = tally("party", "register", "one", "--name", "One", *who)
            assert done.code == 0, done.err
            transaction = done.json["transaction"]["id"]
            assert tally("audit", "export", "tx", transaction, "--anchored", "-o", path, *who).code == 3
            deadline = time.monotonic() + 60
            while not tally("anchor", "now", *who).json["requested"]:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            while not (status := tally("anchor", "status", *who).json)["anchors"]:
                assert time.monotonic() < deadline, status
                time.sleep(0.2)
            assert status["node"]["note"] == "DEV-ANCHOR: proves nothing"
            assert "DEV-ANCHOR" in tally("anchor", "status", *who[:-1]).out
            assert tally("audit", "export", "tx", transaction, "--anchored", "-o", path, *who).json["anchors"] == 1
            assert tally("audit", "export", "tx", transaction, "-o", record, *who).json["anchors"] == 0
            with Client(api_url(home / "procurement/node.toml")) as client:
                rows, log = anchored_log(client, unanchored=False)
            assert log is not None
            assert [row.root for row in rows] == [log.root(row.size) for row in rows]
        anchor = status["anchors"][0]
        public_hash = public.chain.block(anchor["block_number"])
        assert public_hash is not None
        hashes = {str(anchor["chain_id"]): {str(anchor["block_number"]): f"0x{public_hash.hash.hex()}"}}
        trust.write_text(json.dumps({"block_hashes": hashes, "senders": [status["node"]["backends"][0]["address"]]}))
    # Every node and the public chain have stopped.
    assert tally("verify", path, "--genesis", made.network_id.hex(), "--trust", trust).code == 6
    given = ("--genesis", made.network_id.hex(), "--trust", trust, "--allow-development-chain")
    checked = tally("verify", path, *given)
    assert checked.code == 0, checked.err
    assert f"stood on public chain {anchor['chain_id']} no later than" in checked.out
    assert "DEV-ANCHOR: proves nothing" in checked.out
    exported = sorted((home / "procurement/data/anchors/final").glob("*/evm.json"))
    document = tally("anchor", "verify", exported[0], *given)
    assert document.code == 0, document.err
    trust.write_text(json.dumps({"block_hashes": hashes, "senders": []}))
    assert tally("verify", path, "--genesis", made.network_id.hex(), "--trust", trust).code == 6
    assert tally("verify", record, "--genesis", made.network_id.hex(), "--trust", trust).code == 0
