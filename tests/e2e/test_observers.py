"""A new member joins a running consortium with one command, follows it without a vote, gets one and loses it again.

Real processes. The tests follow one another: one newcomer, from its empty folder to its dismissal.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chain import keys
from cli.main import main
from node.processes import NodeProcess
from tallystick import Client
from tests.live_network import MEMBERS, READY_S, ROOT, Live, wait

pytestmark = pytest.mark.slow

NEWCOMER = "zed"
"""After all validators in the alphabet: it dials them nevertheless, for it has no vote."""


@dataclass
class Newcomer:
    """The folder that `tally node join` makes, and the process that it runs in."""

    live: Live
    folder: Path
    process: subprocess.Popen[str] | None = None

    def command(self, *further: str) -> list[str]:
        url = self.live.node("erp").api
        start = ["node", "join", str(self.folder), "--from", url, "--genesis", self.live.network_id.hex()]
        return [*start, "--as", NEWCOMER, "--role", "insurer", "--validator", *further]

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *self.command()],
            cwd=ROOT, env=environment(self.live), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=READY_S)

    @property
    def api(self) -> str:
        return f"http://{tomllib.loads((self.folder / 'node.toml').read_text())['api']['listen']}"

    def status(self) -> dict[str, Any]:
        """Its /v1/status, {} while it does not answer."""
        return NodeProcess(NEWCOMER, self.folder, self.api).status(5.0) or {}

    def public(self, purpose: str) -> bytes:
        return keys.inspect(self.folder / "keys" / f"{purpose}.json").public


def environment(live: Live) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    return {**inherited, "TALLY_PASSPHRASE": live.passphrase}


def tally(live: Live, *words: str | Path) -> Result:
    """A command in this process: it needs no second start of Python."""
    clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith("TALLY_")}
    return CliRunner().invoke(main, [str(word) for word in words], env={**clean, "TALLY_PASSPHRASE": live.passphrase})


def done(live: Live, *words: str | Path) -> Any:
    """The JSON of a command that must succeed."""
    result = tally(live, *words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def call(
    live: Live, member: str, contract: str, method: str, args: dict[str, Any], at: str | None = None
) -> dict[str, Any]:
    """A member's transaction on the consortium chain, at its own node or another one, until it stands."""
    with live.client(at or member) as client:
        transaction = client.sign(
            live.signers[member], chain="consortium", contract=contract, method=method, args=args
        )
        return client.submit_and_wait(transaction, timeout_s=READY_S)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("observers"), t0_ms=400, max_idle_ms=300) as network:
        network.start()
        for member in MEMBERS:
            network.commit(member)
        yield network


@pytest.fixture(scope="module")
def newcomer(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    made = Newcomer(live, tmp_path_factory.mktemp("newcomer") / NEWCOMER)
    yield made
    made.stop()


def refused(live: Live, code: str, *words: str | Path) -> None:
    """The command ends with one line and this code."""
    result = tally(live, *words, "--json")
    assert result.exit_code in (2, 3), (result.stdout, result.stderr)
    assert json.loads(result.stdout)["error"]["code"] == code, result.stdout
    told = [line for line in result.stderr.splitlines() if line.startswith("tally:")]
    assert len(told) == 1


def test_what_cannot_join_is_told_so_in_one_line(live: Live, newcomer: Newcomer, tmp_path: Path) -> None:
    url, network = live.node("erp").api, live.network_id.hex()
    there = tmp_path / "there"
    common = ("node", "join", there, "--as", NEWCOMER, "--from")
    refused(live, "WRONG_GENESIS", *common, url, "--genesis", "ab" * 32)
    refused(live, "USAGE", *common, url, "--genesis", "not a hash")
    refused(live, "UNREACHABLE", *common, "http://127.0.0.1:9", "--genesis", network)
    taken = ("node", "join", there, "--as", "erp", "--from", url, "--genesis", network)
    refused(live, "ID_TAKEN", *taken)
    refused(live, "UNKNOWN_CHAIN", *common, url, "--genesis", network, "--chains", "erp,nobody")
    assert not there.exists(), "nothing is left behind by what was refused"
    there.mkdir()
    (there / "notes.txt").write_text("mine")
    refused(live, "FOLDER_OCCUPIED", *common, url, "--genesis", network)
    refused(live, "NOT_ADMITTED", *newcomer.command("--wait", "0"))
    refused(live, "FOLDER_OCCUPIED", "node", "join", newcomer.folder, "--as", "other", "--from", url,
            "--genesis", network)  # fmt: skip


def test_it_is_admitted_and_follows_from_the_first_block(live: Live, newcomer: Newcomer) -> None:
    public = newcomer.public("network")  # the refused command has made the keys: this one goes on with them
    newcomer.start()
    half = newcomer.folder / "member.json"
    for number, member in enumerate(("erp", "guarantor", "lender"), 1):
        step = done(live, "gov", "admit", half, "--home", live.folder, "--as", member)
        assert step["done"] is (number == 3), step
        if number == 1:
            refused(live, "VOTED_ALREADY", "gov", "admit", half, "--home", live.folder, "--as", member)
    height = live.height()
    wait(lambda: newcomer.status().get("height", 0) >= height, "the newcomer has every block", READY_S)
    assert newcomer.public("network") == public
    status = newcomer.status()
    assert not status["validator"]
    assert status["voted_height"] == 0
    assert status["following"]["from"] in MEMBERS
    assert status["following"]["standing"] == "member"
    wait(lambda: set(newcomer.status()["connected"]) == set(MEMBERS), "it has dialled every validator", READY_S)
    same_blocks(live, newcomer)


def same_blocks(live: Live, newcomer: Newcomer) -> None:
    """It follows what is committed now, to the same state root, and the validators do agree with it there."""
    state = live.commit("procurement")
    wait(lambda: newcomer.status()["height"] >= state["height"], "it follows", READY_S)
    with Client(newcomer.api) as mine, live.client("guarantor") as other:
        for height in (1, state["height"]):
            assert mine.block(height)["digest"] == other.block(height)["digest"]
        assert mine.chains()[0]["state_root"] is not None


def test_a_transaction_given_to_it_is_committed(live: Live, newcomer: Newcomer) -> None:
    with Client(newcomer.api) as client:
        state = client.submit_and_wait(live.transaction("lender"), timeout_s=READY_S)
    assert state["receipt"]["status"] == 0


def test_another_validator_takes_over_when_the_one_it_follows_stops(live: Live, newcomer: Newcomer) -> None:
    server = newcomer.status()["following"]["from"]
    live.nodes.kill(server)
    try:
        rest = next(member for member in MEMBERS if member != server)
        state = live.commit(rest)
        wait(lambda: newcomer.status()["height"] >= state["height"], "it follows another one", READY_S)
        assert newcomer.status()["following"]["from"] != server
    finally:
        live.start(server)


def test_a_new_network_key_is_followed_by_all_that_run(live: Live, newcomer: Newcomer) -> None:
    call(
        live,
        "erp",
        "registry",
        "rotate_key",
        {"old": live.public("erp", "network"), "new": new_key(live, "erp")},
        "lender",
    )
    swap(live, "erp")
    wait(lambda: everyone_sees(live, newcomer, "erp"), "erp is linked again, under its new key", READY_S)
    live.level()


def new_key(live: Live, member: str) -> bytes:
    return keys.create(live.folder / member / "keys/next.json", live.passphrase, "network").public


def swap(live: Live, member: str) -> None:
    """Restart a node with the key that its member has rotated to."""
    live.nodes.stop(member)
    folder = live.folder / member / "keys"
    shutil.move(folder / "next.json", folder / "network.json")
    live.nodes.start(member)


def everyone_sees(live: Live, newcomer: Newcomer, member: str) -> bool:
    others = [live.node(other).status(5.0) or {} for other in MEMBERS if other != member]
    return all(member in status.get("connected", ()) for status in [*others, newcomer.status()])


def validators(live: Live, *members: str, extra: dict[str, bytes] | None = None) -> None:
    """Vote a validator set in."""
    rows = {member: live.public(member, "validator") for member in members} | (extra or {})
    change = {"kind": "validators", "set": [[member, key] for member, key in sorted(rows.items())]}
    proposal = call(live, "erp", "gov", "propose", {"change": change})["receipt"]["result"]
    for member in ("guarantor", "lender", "procurement"):
        if proposal["state"] != "open":
            return
        args = {"proposal": bytes.fromhex(proposal["id"]), "accept": True}
        proposal = call(live, member, "gov", "vote", args)["receipt"]["result"]


def test_it_gets_a_vote_and_loses_it_and_nobody_is_restarted(live: Live, newcomer: Newcomer) -> None:
    validators(live, *MEMBERS, extra={NEWCOMER: newcomer.public("validator")})
    wait(lambda: newcomer.status()["voted_height"] > 0, "it votes", READY_S)
    assert newcomer.status()["validator"]
    wait(lambda: newcomer.status()["following"]["from"] is None, "it needs nobody to send it blocks", READY_S)
    validators(live, *MEMBERS)
    wait(lambda: newcomer.status()["following"]["from"] in MEMBERS, "it follows again", READY_S)
    assert not newcomer.status()["validator"]
    same_blocks(live, newcomer)


def test_a_dismissed_member_is_cut_off_and_told_so(live: Live, newcomer: Newcomer) -> None:
    steps = done(live, "gov", "dismiss", NEWCOMER, "--everyone", "--home", live.folder, "--as", "erp")
    assert steps[-1]["done"]
    wait(
        lambda: not any(NEWCOMER in live.status(member)["connected"] for member in MEMBERS),
        "nobody is linked to it", READY_S,
    )  # fmt: skip
    assert newcomer.status()["following"]["standing"] == "dismissed"
    before = newcomer.status()["height"]
    live.commit("erp")
    assert newcomer.status()["height"] == before
    other = newcomer.folder.with_name("again")
    url, network = live.node("erp").api, live.network_id.hex()
    refused(live, "DISMISSED", "node", "join", other, "--as", NEWCOMER, "--from", url, "--genesis", network)
