"""Custody with real processes: killed in the middle of deliveries, stores deleted, an owner left with its keys only.

After each story `tally custody check` says whether everything is back. The measured figures are in docs/custody.md.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tallystick.client import Document
from tests.cli.conftest import Result, run
from tests.custody_bench import killed
from tests.live_network import Live, wait

pytestmark = pytest.mark.slow

OWNER = "erp"
VICTIM = "lender"
CUSTODIANS = ("guarantor", "lender", "procurement")
HEAL_S = 60.0
"""From a custodian's start until nothing is missing: the issue's number."""
DOCUMENTS = 80
SIZE = 100_000


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("custody")
    with Live(folder, max_idle_ms=1_000, custody_challenge_ms=4_000, custody_answer_ms=3_000) as network:
        network.start()
        yield network


def tally(live: Live, *arguments: str, member: str = OWNER) -> Result:
    """A command as an operator of a member gives it."""
    return run(*arguments, "--home", live.folder, "--as", member)


def put(live: Live, count: int = DOCUMENTS) -> dict[bytes, bytes]:
    """Fresh documents of the owner, kept by its node when this returns; by name."""
    data = [os.urandom(SIZE) for _ in range(count)]
    with live.client(OWNER) as client:
        parts = [[Document(each) for each in data[start : start + 40]] for start in range(0, count, 40)]
        names = [name for part in parts for name in client.put_documents(part)]
    return dict(zip(names, data, strict=True))


def deposits(live: Live) -> int:
    """The owner's, on the chain."""
    with live.client(VICTIM if live.node(VICTIM).running else "guarantor") as client:
        return int(client.state("consortium", "custody", "deposits", OWNER) or 0)


def held(live: Live, at: str = "guarantor") -> list[set[str]]:
    """Who says to hold each deposit of the owner."""
    with live.client(at) as client:
        count = client.state("consortium", "custody", "deposits", OWNER) or 0
        rows = [client.state("consortium", "custody", "deposit", OWNER, number) for number in range(count)]
    return [set(row["held"]) for row in rows]


def everywhere(live: Live, more_than: int) -> bool:
    """Whether more deposits than before are on the chain, and every custodian holds all."""
    rows = held(live)
    return len(rows) > more_than and all(row >= set(CUSTODIANS) for row in rows)


def staged(live: Live, member: str) -> int:
    """Bytes of the deposit that is on its way to a custodian."""
    folder = live.data(member) / "vault" / "incoming" / OWNER
    return sum(file.stat().st_size for file in folder.glob("*")) if folder.is_dir() else 0


def check(live: Live) -> None:
    """The operator's check must say that all is well."""
    done = tally(live, "custody", "check", "--timeout", "60")
    assert done.code == 0, done.out + done.err
    assert "complete: every document is here and at every custodian" in done.out


@pytest.mark.parametrize("share", [0.6])
def test_a_custodian_killed_in_the_middle_of_a_delivery(live: Live, share: float) -> None:
    before = deposits(live)
    put(live)
    wait(lambda: staged(live, VICTIM) > share * DOCUMENTS * SIZE, "in the middle", 30, 0.002)
    live.nodes.kill(VICTIM)
    assert staged(live, VICTIM) > 0
    time.sleep(1)
    began = time.monotonic()
    live.start(VICTIM)
    wait(lambda: everywhere(live, before), "healed", HEAL_S)
    print(f"custodian killed at {share:.0%}: healed {time.monotonic() - began:.1f} s after its start")
    check(live)


@pytest.mark.parametrize("share", [0.5])
def test_an_owner_killed_in_the_middle_of_a_delivery(live: Live, share: float) -> None:
    before = deposits(live)
    documents = put(live)
    wait(lambda: staged(live, VICTIM) > share * DOCUMENTS * SIZE, "in the middle", 30, 0.002)
    live.nodes.kill(OWNER)
    time.sleep(1)
    live.start(OWNER)
    wait(lambda: everywhere(live, before), "complete", HEAL_S)
    check(live)
    with live.client(OWNER) as client:
        for name, data in documents.items():
            assert client.document(name) == data


def test_a_custodian_killed_at_its_first_documents_as_it_is_measured(live: Live) -> None:
    assert killed(live, 150)["healed_s"] <= HEAL_S


def test_a_custodian_whose_whole_vault_is_deleted(live: Live) -> None:
    live.nodes.stop(VICTIM)
    for folder in ("vault", "documents"):
        shutil.rmtree(live.data(VICTIM) / folder)
    began = time.monotonic()
    live.start(VICTIM)
    wait(lambda: any(VICTIM not in row for row in held(live)), "it says what it lost", 30, 0.02)
    wait(lambda: everywhere(live, 0), "healed", HEAL_S)
    print(f"custodian's vault deleted: healed {time.monotonic() - began:.1f} s after its start")
    check(live)
    with live.client(OWNER) as client:
        assert client.state("consortium", "custody", "record", OWNER, VICTIM)["lost"] == deposits(live)


def test_an_owner_with_nothing_but_its_keys(live: Live) -> None:
    before = deposits(live)
    documents = put(live, 10)
    wait(lambda: everywhere(live, before), "complete", HEAL_S)
    live.nodes.stop(OWNER)
    shutil.rmtree(live.data(OWNER))
    without_vote(live.folder / OWNER / "node.toml")
    live.start(OWNER)
    done = tally(live, "custody", "restore", "--timeout", "60")
    assert done.code == 0, done.out + done.err
    check(live)
    with live.client(OWNER) as client:
        for name, data in documents.items():
            assert client.document(name) == data


def test_challenges_are_answered_all_the_while(live: Live) -> None:
    with live.client(OWNER) as client:
        record = client.state("consortium", "custody", "record", OWNER, "guarantor")
        wait(
            lambda: client.state("consortium", "custody", "record", OWNER, "guarantor")["rounds"] > record["rounds"],
            "the next round",
        )
        now = client.state("consortium", "custody", "record", OWNER, "guarantor")
    assert now["failed"] == 0, "nobody touched this custodian"
    assert now["last_ok"] is not None


def test_an_operator_sees_how_it_stands(live: Live) -> None:
    for member in (OWNER, VICTIM):
        done = tally(live, "custody", "status", member=member)
        assert done.code == 0, done.err
    assert f"{deposits(live)} of {deposits(live)}" in tally(live, "custody", "status", member=VICTIM).out
    refused = tally(live, "custody", "appoint")
    assert refused.code == 2
    assert "--default" in refused.err
    appointed = tally(live, "custody", "appoint", "guarantor", "nobody")
    assert appointed.code == 4
    assert len(appointed.err.strip().splitlines()) == 2, appointed.err


def test_a_body_for_a_reader_without_a_key(live: Live) -> None:
    party = ("party", "register", "keyless", "--name", "Keyless", "--identifier", "GB-COH:1")
    registered = tally(live, *party)
    assert registered.code == 0, registered.err
    done = tally(live, "record", "readers", "set", "*=keyless")
    assert done.code == 4
    assert "NO_ENCRYPTION_KEY" in done.err


def test_a_document_that_is_not_what_it_is_said_to_be(live: Live) -> None:
    before = deposits(live)
    api = f"{live.node(OWNER).api}/v1/documents"
    for named in ({"sha256": "00" * 32}, {"sealed_root": "00" * 32}):
        answer = httpx.put(api, content=b"paper", params=named)
        assert answer.json()["error"]["code"] == "WRONG_HASH"
    time.sleep(2)
    assert deposits(live) == before


def without_vote(config: Path) -> None:
    """The node follows, its validator key put aside: without its journal that key must not vote again."""
    lines = config.read_text().splitlines()
    config.write_text("\n".join(line for line in lines if not line.startswith("validator")) + "\n")
