"""One real node that anchors on a chain, at an authority and at a witness; checked after all of them have stopped."""

from __future__ import annotations

import json
import subprocess
import time
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chain.crypto import SigningKey, sha256
from chain.keys import inspect
from genesis.dev import make_dev
from node.devchain import DevServer
from node.processes import LocalNodes
from tests.outside import LocalAuthority, LocalWitness

pytestmark = pytest.mark.slow

PORT = 19_620
POLICY = {"max_idle_ms": 300, "anchor_chains": 1, "anchor_authorities": 1, "anchor_witnesses": 1}
KINDS = {"evm": "chain", "authority": "authority", "witness": "witness"}
"""Backend → class."""


def wait(tally: Any, who: tuple[Any, ...], done: Any) -> Any:
    deadline = time.monotonic() + 60
    while not done(status := tally("anchor", "status", *who).json):
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
    return status


def test_three_kinds_at_one_node(tmp_path: Path, tally: Any) -> None:
    home, trust = tmp_path / "net", tmp_path / "trust.json"
    who = ("--home", home, "--as", "procurement", "--json")
    witness_key = SigningKey(sha256(b"witness"))
    with ExitStack() as stack:
        public = stack.enter_context(DevServer(block_time=0.1))
        authority = stack.enter_context(LocalAuthority(tmp_path / "authority"))
        made = make_dev(home, members=1, observers=(), base_port=PORT, anchor_rpc_url=public.url, parameters=POLICY)
        place = home / "procurement" / "node.toml"
        origin = f"tally/{made.network_id.hex()}"
        log_key = inspect(place.parent / tomllib.loads(place.read_text())["keys"]["signer"]).public
        witness = stack.enter_context(LocalWitness("witness.example", witness_key, {origin: [log_key]}))
        place.write_text(
            place.read_text()
            + f'\n[[anchor.tsa]]\nname = "authority"\nurl = "{authority.url}"\n'
            + f'root = "{tmp_path / "authority" / "root.pem"}"\n'
            + f'\n[[anchor.witness]]\nname = "witness"\nurl = "{witness.url}"\nkey = "{witness.verifier_key}"\n'
        )
        nodes = stack.enter_context(LocalNodes(home))
        nodes.start()
        nodes.wait_ready(timeout_s=60)
        while not tally("anchor", "now", *who).json["requested"]:
            time.sleep(0.2)
        status = wait(tally, who, lambda found: found["anchored"] and found["node"]["checked"] >= 3)
        said = tally("anchor", "status", *who[:-1]).out
    node = status["node"]
    assert (node["mismatches"], node["unchecked"], node["problem"]) == (0, 0, None)
    assert {row["backend"]: row["confirmed"] > 0 for row in node["backends"]} == dict.fromkeys(KINDS, True)
    assert set(node["classes"]) == set(KINDS.values())
    assert said.count("DEV-ANCHOR: proves nothing") == 3
    rows = [anchor for anchor in status["anchors"] if anchor["backend"] == "evm"]
    blocks = [public.chain.block(row["block_number"]) for row in rows]
    trust.write_text(
        json.dumps(
            {
                "block_hashes": {"31338": {str(block.number): f"0x{block.hash.hex()}" for block in blocks if block}},
                "senders": [f"0x{rows[0]['sender']}"],
                "tsa_roots": [str(tmp_path / "authority" / "root.pem")],
                "witnesses": {"witness.example": witness_key.public.hex()},
            }
        )
    )
    final = home / "procurement/data/anchors/final"
    [path, *_] = sorted(final.glob("*/evm.json"))
    folder = path.parent  # asked for by hand: the same checkpoint everywhere
    size = int(folder.name)
    given = ("--genesis", made.network_id.hex(), "--json")
    for name in KINDS:
        checked = tally("anchor", "verify", folder / f"{name}.json", *given, "--trust", trust)
        assert (checked.code, "proves nothing" in checked.err) == (6, True), checked.err
        passed = tally(
            "anchor", "verify", folder / f"{name}.json", *given, "--trust", trust, "--allow-development-chain"
        )
        assert passed.code == 0, passed.err
        assert (passed.json["blocks"], passed.json["development"]) == (size, True)
        without = tally("anchor", "verify", folder / f"{name}.json", *given, "--allow-development-chain")
        assert without.code == 6, without.err
    command = ["openssl", "ts", "-verify", "-data", "checkpoint.txt", "-in", "authority.tsr", "-CAfile"]
    stock = subprocess.run(
        [*command, str(tmp_path / "authority" / "root.pem")], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "Verification: OK" in stock.stdout + stock.stderr
