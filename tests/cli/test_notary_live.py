"""A deed at the command line, on nodes that run as processes: from the draft to an execution certificate.

A network of its own: the lender's, the notary's and two more vote; a court without a running node signs at another's.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from genesis.dev import Party, make_dev
from node.processes import LocalNodes, free_ports

pytestmark = pytest.mark.slow

PASSPHRASE = "correct horse"
EXAMPLE = Path(__file__).resolve().parents[2] / "genesis/example/documents"
CONTRACT = "ocds-7k2vzq-MVW-2026-014-C1"
KESTREL = Party("kestrel", "Kestrel Pumps & Valves", ("GB-COH:99900217",))
MARLOW = Party("marlow", "Marlow Vale Water", ("GB-COH:99900101",))
START = datetime.now(UTC)  # fixed, so that midnight may pass meanwhile
RUNNING = ("procurement", "erp", "guarantor", "lender", "office")


class Desk:
    """Commands as the members and parties of one network."""

    def __init__(self, home: Path, nodes: LocalNodes, tally: Any) -> None:
        self.home = home
        self.nodes = nodes
        self.tally = tally

    def run(self, who: str, *arguments: str | Path) -> Any:
        if who in RUNNING or (self.home / "parties" / f"{who}.json").exists():
            return self.tally(*arguments, "--home", self.home, "--as", who)
        key = self.home / who / "keys" / "signer.json"
        node = self.nodes.nodes["lender"].api
        return self.tally(*arguments, "--node", node, "--key", key, TALLY_PASSPHRASE=PASSPHRASE)

    def done(self, who: str, *arguments: str | Path) -> Any:
        result = self.run(who, *arguments, "--json")
        assert result.code == 0, result.err
        return result.json

    def notary(self, who: str, *arguments: str | Path) -> Any:
        return self.done(who, "notary", *arguments)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, tally: Any) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("notary") / "net"
    observers = ("office=notary", "tribunal=court")
    make_dev(home, observers=observers, parties=(KESTREL, MARLOW), base_port=free_ports(2 * 6), passphrase=PASSPHRASE)
    with LocalNodes(home, RUNNING) as nodes:
        nodes.start()
        nodes.wait_ready(timeout_s=120)
        yield Desk(home, nodes, tally)
    shutil.rmtree(home, ignore_errors=True)


def day(days: int) -> str:
    return (START + timedelta(days=days)).strftime("%Y-%m-%d")


@pytest.fixture(scope="module")
def application(desk: Desk) -> str:
    """A loan of 20 000.00 of which a half has been due for two months."""
    desk.done("erp", "ingest", EXAMPLE, "--all-members")
    desk.done("marlow", "credit", "confirm", "contract", CONTRACT)
    desk.done("guarantor", "credit", "confirm", "qualification", "MVW-Q-2026-031")
    applied = desk.done("kestrel", "credit", "apply", "kestrel", "--contract", CONTRACT, "--lender", "lender")
    identity: str = applied["id"]
    desk.done("lender", "credit", "assess", identity)
    desk.done("lender", "credit", "decide", identity, "--approve", "20000.00", "--term-days", "90")
    halves = [f"{day(-60)}:10000.00:100.00", f"{day(60)}:10000.00:50.00"]
    parts = [item for half in halves for item in ("--instalment", half)]
    desk.done("lender", "credit", "disburse", identity, "--on", day(-90), *parts)
    return identity


def test_from_draft_to_executed(desk: Desk, application: str, tmp_path: Path) -> None:
    text, record, other = tmp_path / "deed.txt", tmp_path / "work.txt", tmp_path / "other.txt"
    text.write_text("the deed", encoding="utf-8")
    record.write_text("asked by letter", encoding="utf-8")
    other.write_text("another text", encoding="utf-8")
    asked = ("--notary", "office", "--ceiling", "20000.00", "--text", text, "--address", "1 Mill Lane")
    terms = ("--penalty-bp", "1095", "--compound-bp", "730", "--acceleration", "--answer-days", "1")
    backed = ("--guarantor", "guarantor:joint:5000.00:2 Mill Lane")
    assert desk.run("lender", "notary", "draft", application, *asked, "--guarantor", "guarantor").code == 2
    drafted = desk.notary("lender", "draft", application, *asked, *terms, *backed)
    deed = drafted["id"]

    signed = tmp_path / "bytes"
    shown = desk.notary("office", "deed", application, "--bytes", signed)
    assert hashlib.sha256(signed.read_bytes()).hexdigest() == shown["digest"] == drafted["digest"]
    assert desk.run("kestrel", "notary", "consent", deed, "--text", other).code == 2
    assert desk.run("kestrel", "notary", "consent", deed, "--digest", "00" * 32).code == 2
    told = desk.run("kestrel", "notary", "consent", deed, "--text", text, "--digest", drafted["digest"])
    assert told.code == 0, told.err
    for said in (
        "guarantor (member), joint, at most 5,000.00 GBP",
        "1 Mill Lane",
        "10.95 % a year",
        drafted["digest"],
    ):
        assert said in told.err
    early = desk.run("office", "notary", "countersign", deed, "--number", "2026-17")
    assert (early.code, "CONSENTS_MISSING" in early.err) == (4, True)
    desk.notary("lender", "consent", deed)
    certificate, signature = tmp_path / "leaf.der", tmp_path / "signature"
    certificate.write_bytes(b"certificate")
    signature.write_bytes(b"signature")
    ca = ("--ca-certificate", certificate, "--ca-signature", signature)
    assert desk.run("guarantor", "notary", "consent", deed, *ca).code == 2
    assert desk.notary("guarantor", "consent", deed, *ca, "--ca-algorithm", "cms")["state"] == "consented"
    assert desk.notary("office", "countersign", deed, "--number", "2026-17")["state"] == "notarized"
    _default(desk, deed, record)
    _certificate(desk, deed, application)


def _default(desk: Desk, deed: str, record: Path) -> None:
    early = desk.run("office", "notary", "issue", deed, "--number", "E-4")
    assert (early.code, "tally notary default comes first" in early.err) == (2, True)
    until = desk.notary("lender", "demand", deed, "--text", "pay what is due")["last_day"]
    assert until == f"{int(day(60)[:4]) + 2}{day(60)[4:]}"
    claimed = desk.notary("lender", "default", deed, "--as-of", day(0), "--cost", "lawyer:300.00:the lawyer")
    # 60 days at 3 bp a day on 10 000.00, at 2 bp on 100.00
    assert (claimed["principal"], claimed["interest"], claimed["penalty"]) == (1_000_000, 10_000, 18_000)
    assert (claimed["compound"], claimed["costs"], claimed["total"]) == (120, 30_000, 1_058_120)
    finding = ("verify", deed, "--outcome", "unpaid", "--record", record, "--text", "no answer by letter")
    waits = desk.run("office", "notary", *finding)
    assert (waits.code, "ANSWER_PERIOD_RUNS" in waits.err) == (4, True)
    desk.notary("kestrel", "answer", deed, "--denies", "--text", "it was paid in cash")
    ignored = desk.run("office", "notary", *finding, "--answered", "guarantor")
    assert (ignored.code, "OBJECTION_IGNORED" in ignored.err) == (4, True)
    assert desk.run("office", "notary", *finding, "--answered", "marlow").code == 2
    assert desk.run("office", "notary", *finding, "--objection", "kestrel:no receipt").code == 2
    objection = ("--objection", "kestrel:dismissed:no receipt was shown")
    done = desk.notary("office", *finding, "--answered", "guarantor", *objection)
    from tallystick.client import Client

    with Client(desk.nodes.nodes["office"].api) as client:
        assert client.document(bytes.fromhex(done["record"])) == record.read_bytes()


def _certificate(desk: Desk, deed: str, application: str) -> None:
    wrong = desk.run("office", "notary", "issue", deed, "--number", "E-4", "--as-of", day(0), "--total", "1.00")
    assert (wrong.code, "1028120 minor units" in wrong.err) == (2, True)
    assert desk.run("office", "notary", "issue", deed, "--number", "E-4", "--respondent", "marlow").code == 2
    cost = ("--cost", "lawyer:100.00")
    issue = ("issue", deed, "--number", "E-4", "--as-of", day(0), "--total", "10381.20", *cost)
    issued = desk.notary("office", *issue)
    assert issued["total"] == 1_038_120
    shown = desk.run("lender", "notary", "deed", application)
    assert shown.code == 0, shown.err
    for said in ("certified", "number E-4: 10,381.20 GBP", "denies: it was paid in cash", "with a CA signature"):
        assert said in shown.out
    assert desk.run("lender", "notary", "refuse", deed, "--reason", "OTHER", "--text", "no").code == 4
    report = ("executed", deed, "--amount", "10381.20", "--reference", "(2026) 1")
    stranger = desk.run("tribunal", "notary", *report)
    assert (stranger.code, "NOT_YOUR_DEED" in stranger.err) == (4, True)
    assert desk.notary("lender", *report)["state"] == "executed"
    late = desk.run("office", "notary", "revoke", deed, "--reason", "OTHER", "--text", "too late")
    assert (late.code, "WRONG_STATE" in late.err) == (4, True)
    assert desk.run("office", "notary", "deed", "00" * 32).code == 3
