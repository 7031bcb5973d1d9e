"""A partial observer as a process beside four validators: what it has, what it refuses, what it never sees."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.verification import verify_compact, verify_proof
from cli.checkup import examine
from cli.main import main as tally
from node.bench import sample_record, sample_transaction
from node.processes import NodeProcess
from tallystick import ClientError, RejectedError
from tallystick.headers import HeaderChain
from tests.live_network import MEMBERS, ROOT, Live, wait

pytestmark = pytest.mark.slow

OBSERVER = "auditor"
CANARY = b"Canary 7f3a91bc"


class Consortium(Live):
    """Four validators and an observer that follows one chain."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, observers=(OBSERVER,))

    def follow(self, *chains: str) -> None:
        path = self.folder / OBSERVER / "node.toml"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("follow")]
        path.write_text("\n".join([f"follow = {json.dumps(chains)}", *lines]) + "\n")

    def chains(self) -> dict[str, dict[str, Any]]:
        found = self.node(OBSERVER).status(5.0)
        return {} if found is None else {row["chain"]: row for row in found["chains"]}

    def caught_up(self, *chains: str) -> None:
        """Until the observer has what the validators have now, and executed these chains."""
        height = self.height(*MEMBERS)

        def level() -> bool:
            found = self.chains()
            return bool(found) and all(found[chain]["executed_up_to"] >= height for chain in chains)

        wait(level, f"the observer at block {height}: {self.node(OBSERVER).last_words()}", 60)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with Consortium(tmp_path_factory.mktemp("partial")) as found:
        found.start(*MEMBERS)
        yield found


def test_one_chain_is_followed_and_another_never_seen(live: Consortium) -> None:
    with live.client("guarantor") as client:
        closed = client.sign(
            live.signers["guarantor"], chain="consortium", contract="registry", method="open_chain", args={"to": []}
        )
        client.submit_and_wait(closed)
    hidden = sample_record(77).replace(b"Example Carrier", CANARY)
    with live.client("guarantor") as client:
        secret = sample_transaction(live.network_id, "guarantor", live.signers["guarantor"], [hidden])
        client.submit_and_wait(secret)
    first = live.commit("erp")
    live.follow("erp")
    live.nodes.start(OBSERVER)
    live.caught_up("erp")
    second = live.commit("erp")
    live.caught_up("erp")
    found = live.chains()
    assert found["erp"]["mode"] == "executed"
    assert found["guarantor"]["mode"] == "headers only"
    assert "not executed" in found["consortium"]["mode"]
    with live.client("erp") as full, live.client(OBSERVER) as partial:
        for state in (first, second):
            tx_id = bytes.fromhex(state["id"])
            assert partial.transaction(tx_id) == full.transaction(tx_id)
            verify_proof(partial.prove_transaction(tx_id), live.network_id)
        assert {row["chain"]: row["hash"] for row in partial.chains()} == {
            row["chain"]: row["hash"] for row in full.chains()
        }
        assert partial.transaction(closed.id)["receipt"]["status"] == 0, "the consortium's own are there"
        assert partial.transaction(secret.id)["state"] == "unknown"
        for chain, contract, key in (("guarantor", "records", "log_count"), ("consortium", "registry", "members")):
            with pytest.raises(ClientError) as refusal:
                partial.state(chain, contract, key)
            assert refusal.value.code == "NOT_FOLLOWED"
    home = live.node(OBSERVER).api
    run("query", "record", "delivery", "D0005000002", "--node", home, "--json")
    run("query", "tx", second["id"], "--prove", "-o", str(live.folder / "tx.proof"), "--node", home)
    run("query", "chains", "--node", home)
    run("node", "status", "--node", home)
    run("query", "members", "--node", home, code=3)
    kept = b"".join(path.read_bytes() for path in (live.folder / OBSERVER).rglob("*") if path.is_file())
    assert b"Example Carrier" in kept
    assert CANARY not in kept


def test_a_chain_that_is_not_opened_is_said_to_be(live: Consortium) -> None:
    stop(live)
    live.follow("erp", "guarantor")
    live.nodes.start(OBSERVER)
    live.caught_up("erp")
    wait(lambda: live.chains().get("guarantor", {}).get("refused") == "NOT_OPENED", "the refusal is in the status")
    with live.client("guarantor") as client:
        opened = client.sign(
            live.signers["guarantor"], chain="consortium", contract="registry", method="open_chain",
            args={"to": [OBSERVER]},
        )  # fmt: skip
        client.submit_and_wait(opened)
    live.caught_up("erp", "guarantor")
    assert live.chains()["guarantor"]["refused"] is None


def test_killed_and_started_again_it_goes_on(live: Consortium) -> None:
    process = live.node(OBSERVER).process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(5):
        live.commit("erp")
        live.commit("guarantor")
    live.nodes.start(OBSERVER)
    live.caught_up("erp", "guarantor")
    status = live.node(OBSERVER).status(5.0)
    assert status is not None
    assert status["faults"] == {}


def test_what_its_member_signs_it_passes_on(live: Consortium) -> None:
    key = live.key(OBSERVER, "signer")
    with live.client(OBSERVER) as client:
        added = client.sign(
            key, chain="consortium", contract="registry", method="set_threshold", args={"method": "*", "count": 1}
        )
        assert client.submit_and_wait(added)["receipt"]["status"] == 0
        with pytest.raises(RejectedError) as refusal:
            client.simulate(added)
        assert refusal.value.code == "NOT_FOLLOWED"


def test_a_light_client_syncs_from_it_and_checks_a_receipt(live: Consortium, tmp_path: Path) -> None:
    paid = live.commit("erp")
    live.caught_up("erp")
    path, genesis = tmp_path / "consortium.headers", live.network_id.hex()
    api = live.node(OBSERVER).api
    run("headers", "sync", str(path), "--genesis", genesis, "--from", api, "--from", live.node("lender").api)
    chain = HeaderChain(path, live.network_id)
    assert chain.height >= paid["height"]
    receipt = tmp_path / "receipt"
    run("headers", "receipt", paid["id"], "-o", str(receipt), "--node", api)
    assert verify_compact(receipt.read_bytes(), live.network_id, chain.header).subject["tx"] == paid["id"]
    run("verify", str(receipt), "--headers", str(path), "--genesis", genesis)
    assert receipt.stat().st_size < 2_000


def test_a_new_member_joins_as_a_partial_observer(live: Consortium, tmp_path: Path) -> None:
    folder, url = tmp_path / "zed", live.node("erp").api
    words = ["node", "join", str(folder), "--from", url, "--genesis", live.network_id.hex(), "--as", "zed"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    joining = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words, "--chains", "erp"],
        cwd=ROOT, env={**inherited, "TALLY_PASSPHRASE": live.passphrase}, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        half = folder / "member.json"
        wait(half.exists, "its half for the members", 60)
        for member in MEMBERS[:3]:
            run("gov", "admit", str(half), "--home", str(live.folder), "--as", member)
        api = f"http://{tomllib.loads((folder / 'node.toml').read_text())['api']['listen']}"
        node = NodeProcess("zed", folder, api)
        live.commit("erp")
        height = live.height(*MEMBERS)

        def level() -> bool:
            found = {row["chain"]: row for row in (node.status(5.0) or {"chains": []})["chains"]}
            return bool(found) and found["erp"]["executed_up_to"] >= height and "zed" in found

        wait(level, "the new member has the chain it follows", 60)
    finally:
        joining.terminate()
        _, said = joining.communicate(timeout=30)
    assert joining.returncode == 0, said


def test_the_doctor_examines_its_ledger(live: Consortium) -> None:
    stop(live)
    found = examine(live.folder / OBSERVER / "node.toml", lambda _path: live.passphrase)
    ledger = next(finding for finding in found if finding.check == "ledger")
    assert ledger.ok
    assert "opens at block" in ledger.text


def test_who_votes_cannot_follow_some(live: Consortium) -> None:
    path = live.folder / "lender" / "node.toml"
    text = path.read_text()
    path.write_text('follow = ["erp"]\n' + text)
    try:
        stop(live, "lender")
        live.nodes.start("lender")
        wait(lambda: not live.node("lender").running, "it refuses to start")
        assert re.search("who votes executes every chain", live.node("lender").last_words())
    finally:
        path.write_text(text)


def stop(live: Consortium, member: str = OBSERVER) -> None:
    process = live.node(member).process
    if process is not None:
        process.terminate()
        process.wait(20)


def run(*arguments: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as done:
        tally(list(arguments))
    assert done.value.code == code, arguments
