"""Every exit code of a transaction, every query and every bad input, against a network that runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genesis.dev import make_dev

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "genesis/example/documents"
REGISTER = ("--contract", "registry", "--method", "register_party", "--args")


def party(name: str) -> str:
    return f'{{"id": "{name}", "name": "{name}", "identifiers": ["T:{name}"]}}'


def test_the_id_is_said_before_sending_and_the_same_one_again_gives_the_same_receipt(
    network: Any, tmp_path: Path
) -> None:
    saved = tmp_path / "tx"
    done = network.tally("erp", "tx", "submit", *REGISTER, party("repeated"), "--save", saved, "--json")
    assert done.code == 0, done.err
    assert done.err == f"transaction {done.json['id']}\n"
    again = network.tally("lender", "tx", "submit", "--from", saved, "--json")
    assert again.code == 0
    assert again.json == done.json
    waited = network.tally("auditor", "tx", "wait", done.json["id"], "--json")
    assert waited.json["receipt"] == done.json["receipt"]
    for command in (("tx", "show"), ("query", "tx")):
        assert network.done("auditor", *command, done.json["id"])["state"] == "committed"


def test_signed_now_sent_later(network: Any, tmp_path: Path) -> None:
    saved = tmp_path / "tx"
    signed = network.done("erp", "tx", "submit", *REGISTER, party("later"), "--save", saved, "--no-send")
    assert network.tally("erp", "tx", "show", signed["id"]).code == 5
    assert network.tally("erp", "tx", "submit", *REGISTER, party("later"), "--no-send").code == 2
    taken = network.done("erp", "tx", "submit", "--from", saved, "--no-wait")
    assert taken["state"] == "accepted"
    assert network.done("erp", "tx", "wait", signed["id"])["receipt"]["status"] == 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--contract", "registry", "--method", "register_party"), 4, "MISSING_ARGUMENT"),
        (("--contract", "nothing", "--method", "x"), 4, "UNKNOWN_CONTRACT"),
        (("--contract", "credit", "--method", "decide", "--args", "{}"), 4, "MISSING_ARGUMENT"),
        (
            ("--contract", "gov", "--method", "vote", "--args", '{"proposal": "x", "accept": true}'),
            4,
            "WRONG_ARGUMENT",
        ),
        (("--chain", "nowhere", "--contract", "records", "--method", "submit"), 3, "UNKNOWN_CHAIN"),
        (("--contract", "gov", "--method", "vote", "--valid-for", "90000"), 3, "VALID_TOO_LONG"),
        (("--contract", "x" * 65, "--method", "vote"), 3, "short names"),
        (("--contract", "gov", "--method", "vote", "--args", "{"), 2, "is not JSON"),
        (("--contract", "gov", "--method", "vote", "--args", '{"a": 1.5}'), 2, "fraction"),
        (("--contract", "gov", "--method", "vote", "--args", '{"a": 1, "a": 2}'), 2, "twice"),
        (("--contract", "gov", "--method", "vote", "--args", "@/nowhere"), 2, "no file at"),
        (("--contract", "gov"), 2, "give --contract and --method"),
    ],
)
def test_bad_transactions(network: Any, options: tuple[str, ...], code: int, said: str) -> None:
    done = network.tally("erp", "tx", "submit", *options)
    assert done.code == code
    assert said in done.err
    lines = done.err.splitlines()
    assert [line for line in lines if not line.startswith("transaction ")] == [lines[-1]]
    assert lines[-1].startswith("tally: ")


def test_a_failed_receipt_is_in_the_json(network: Any) -> None:
    done = network.tally("erp", "tx", "submit", "--contract", "gov", "--method", "vote", "--json")
    assert done.code == 4
    assert done.json["error"]["exit"] == 4
    assert done.json["transaction"]["receipt"]["status"] == 1
    assert network.tally("erp", "tx", "show", done.json["transaction"]["id"]).code == 4


def test_expired(network: Any, tmp_path: Path) -> None:
    import time

    saved = tmp_path / "tx"
    command = ("tx", "submit", *REGISTER, party("expired"), "--valid-for", "1", "--save", saved, "--no-send")
    assert network.tally("erp", *command).code == 0
    time.sleep(1.2)
    done = network.tally("erp", "tx", "submit", "--from", saved)
    assert done.code == 3
    assert "EXPIRED" in done.err


def test_signers_the_network_does_not_know_or_not_let(network: Any, tally: Any, tmp_path: Path) -> None:
    from chain import keys

    other = make_dev(tmp_path / "other", members=1, passphrase="correct horse").directory
    stranger = other / "procurement/keys/signer.json"
    node = network.nodes.nodes["erp"].api
    secret = {"TALLY_PASSPHRASE": "correct horse"}
    done = tally("tx", "submit", *REGISTER, party("x"), "--key", stranger, "--node", node, **secret)
    assert done.code == 3
    assert "UNKNOWN_SIGNER" in done.err
    assert tally("ingest", EXAMPLE, "--key", stranger, "--node", node, **secret).code == 2
    unable = network.tally("kestrel", "gov", "propose", "parameters", "t0_ms=900")
    assert unable.code == 4
    assert "ROLE_NOT_ALLOWED" in unable.err
    no_member = network.tally("kestrel", "ingest", EXAMPLE)
    assert no_member.code == 2
    assert "only members take documents in" in no_member.err
    wrong = tally(
        "party", "register", "y", "--name", "y", "--home", network.home, "--as", "erp", TALLY_PASSPHRASE="no"
    )
    assert wrong.code == 2
    assert "wrong passphrase" in wrong.err
    missing = network.tally("erp", "party", "register", "y", "--name", "y", "--key", tmp_path / "none.json")
    assert missing.code == 2
    assert "no key file at" in missing.err
    public = keys.inspect(stranger).public.hex()
    taken = network.tally(
        "erp", "party", "register", "y", "--name", "y", "--identifier", "GB-COH:99900217", "--public", public
    )
    assert taken.code == 4
    assert "IDENTIFIER_TAKEN" in taken.err


def test_a_transaction_of_another_network(network: Any, tmp_path: Path) -> None:
    import secrets
    import time

    from chain import keys
    from chain.transaction import make_body, sign

    key = keys.load(network.home / "erp/keys/signer.json", "correct horse")
    body = make_body(
        network_id=bytes(32), chain="consortium", contract="gov", method="vote", args={}, signers=[key.public],
        nonce=secrets.token_bytes(16), valid_until=time.time_ns() // 10**6 + 60_000,
    )  # fmt: skip
    (tmp_path / "tx").write_bytes(sign(body, [key]).wire)
    done = network.tally("erp", "tx", "submit", "--from", tmp_path / "tx")
    assert done.code == 3
    assert "WRONG_NETWORK" in done.err
    (tmp_path / "tx").write_bytes(b"garbage")
    assert network.tally("erp", "tx", "submit", "--from", tmp_path / "tx").code == 3


def test_simulation_writes_nothing(network: Any) -> None:
    would = network.tally("erp", "tx", "simulate", *REGISTER, party("simulated"))
    assert would.code == 0
    assert "nothing was sent" in would.out
    assert network.tally("erp", "party", "show", "simulated").code == 3
    assert network.tally("erp", "tx", "simulate", "--contract", "gov", "--method", "vote").code == 4


def test_unknown_ids(network: Any) -> None:
    for command in (("tx", "show"), ("query", "tx")):
        done = network.tally("erp", *command, "00" * 32)
        assert done.code == 5
        assert "is unknown to this node" in done.err
    waited = network.tally("erp", "tx", "wait", "00" * 32, "--timeout", "1", "--json")
    assert waited.code == 5
    assert waited.json["error"]["code"] == "OUTCOME_UNKNOWN"
    assert f"tally tx wait {'00' * 32}" in waited.err
    assert network.tally("erp", "tx", "show", "zz").code == 2


def test_a_node_that_is_down(tally: Any, network: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    for command in (("query", "members"), ("tx", "show", "00" * 32), ("node", "status")):
        done = tally(*command, "--node", url)
        assert done.code == 3
        assert f"no node answers at {url}" in done.err
    assert tally("query", "members", "--node", "ftp://x").code == 3
    done = network.tally("erp", "ingest", EXAMPLE / "invoice-KPV-0811.xml", "--node", url)
    assert done.code == 3


@contextmanager
def rude_server() -> Iterator[str]:
    """Takes a request and hangs up without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("option", [(), ("--no-wait",)])
def test_a_node_that_hangs_up_leaves_the_outcome_unknown(
    network: Any, tmp_path: Path, option: tuple[str, ...]
) -> None:
    saved = tmp_path / "tx"
    signed = network.done("erp", "tx", "submit", *REGISTER, party("lost"), "--save", saved, "--no-send")
    with rude_server() as url:
        done = network.tally("erp", "tx", "submit", "--from", saved, "--node", url, *option)
    assert done.code == 5
    assert f"`tally tx wait {signed['id']}`" in done.err


def test_without_a_quorum_the_outcome_is_unknown_until_there_is_one(network: Any) -> None:
    with network.paused("guarantor", "lender"):
        done = network.tally("erp", "tx", "submit", *REGISTER, party("patient"), "--timeout", "2", "--json")
    assert done.code == 5
    identity = done.json["id"]
    waited = network.tally("erp", "tx", "wait", identity, "--timeout", "60")
    assert waited.code == 0, waited.err
    assert network.done("erp", "party", "show", "patient")["id"] == "patient"


def test_queries(network: Any, tmp_path: Path, tally: Any) -> None:
    newest = network.done("auditor", "query", "block")
    assert newest["height"] >= 1
    first = network.tally("auditor", "query", "block", "1")
    assert "signed by" in first.out
    assert network.tally("auditor", "query", "block", "999999").code == 3
    genesis = network.done("auditor", "query", "block", "0")
    assert genesis["height"] == 0
    members = {row["id"]: row["votes"] for row in network.done("auditor", "query", "members")}
    assert members == {"auditor": False, "erp": True, "guarantor": True, "lender": True, "procurement": True}
    state = network.done("auditor", "query", "state", "consortium", "registry", "party", "kestrel", "--at", "1")
    assert state["value"]["name"] == "Kestrel Pumps & Valves"
    absent = network.done("auditor", "query", "state", "consortium", "registry", "party", "nobody")
    assert absent["value"] is None
    assert network.tally("auditor", "query", "state", "nochain", "registry", "members").code == 3
    assert network.tally("auditor", "query", "state", "erp", "registry", "members", "--at", "999999").code == 3
    proof = tmp_path / "p"
    done = network.tally(
        "auditor", "query", "state", "erp", "records", "record", "x", "y", "z", "--prove", "-o", proof
    )
    assert done.code == 0
    assert "had no entry" in tally("verify", proof, "--genesis", network.genesis).out
    assert network.tally("auditor", "query", "state", "erp", "records", "x", "--prove").code == 2
    assert network.tally("auditor", "query", "record", "00" * 32).code == 3
    assert network.tally("auditor", "query", "record", "invoice", "NONE-1").code == 3
    assert network.tally("auditor", "query", "record", "invoice").code == 2
    assert network.tally("auditor", "credit", "show", "00" * 32).code == 3
    assert network.tally("auditor", "credit", "show", "nobody").code == 3
    assert network.tally("auditor", "credit", "explain", "00" * 32).code == 3
    assert network.tally("lender", "credit", "assess", "00" * 32).code == 4
    assert (
        network.tally("kestrel", "credit", "apply", "kestrel", "--contract", "NONE", "--lender", "lender").code == 3
    )
    status = network.done("auditor", "node", "status")
    assert status["network_id"] == network.genesis


def test_parties(network: Any, tmp_path: Path) -> None:
    from chain import keys

    half = keys.create(tmp_path / "k.json", "correct horse", "party", cost=keys.INTERACTIVE)
    command = ("party", "register", "newcomer", "--name", "New Comer", "--identifier", "N:1")
    network.done("procurement", *command, "--public", tmp_path / "k.json")
    network.done("erp", "party", "identify", "newcomer", "N:2")
    found = network.done("auditor", "party", "show", "N:2")
    assert (found["id"], found["identifiers"]) == ("newcomer", ["N:1", "N:2"])
    assert found["keys"][0]["key"] == half.public.hex()
    assert network.tally("procurement", *command).code == 4
    wrong = network.home / "erp/keys/signer.json"
    assert network.tally("erp", "party", "register", "z", "--name", "z", "--public", wrong).code == 2

    own = network.tally("newcomer", "gov", "list")
    assert own.code == 2
    rotated = network.tally(
        "erp", "keys", "rotate", tmp_path / "k.json", "--new", tmp_path / "k2.json", "--development", "--json"
    )
    assert rotated.code == 0, rotated.err
    keys_now = network.done("auditor", "party", "show", "newcomer")["keys"]
    assert [row["until"] is None for row in keys_now] == [False, True]
    assert rotated.json["new"] == keys_now[1]["key"]
    again = network.tally(
        "erp", "keys", "rotate", tmp_path / "k.json", "--new", tmp_path / "k3.json", "--development"
    )
    assert again.code == 4
    assert "KEY_NOT_VALID" in again.err


def test_encryption_keys(network: Any, tmp_path: Path) -> None:
    """Made, added beside the first, replaced and ended; a party's comes with its registration."""
    from chain import keys

    def valid(owner: str, name: str) -> set[str]:
        listed = network.done("auditor", "query", "state", "consortium", "registry", "keys", owner, name)["value"]
        entries = {
            key: network.done("auditor", "query", "state", "consortium", "registry", "key", f"0x{key}")["value"]
            for key in listed
        }
        return {key for key, row in entries.items() if row["purpose"] == "encryption" and row["until"] is None}

    first = keys.inspect(network.home / "guarantor/keys/encryption.json").public.hex()
    assert valid("member", "guarantor") == {first}
    offline, second, party = (tmp_path / f"{name}.json" for name in ("offline", "second", "party"))
    for path in (offline, party):
        keys.create(path, "correct horse", "encryption", cost=keys.INTERACTIVE)
    added = network.done("guarantor", "keys", "add", offline)
    assert (added["purpose"], valid("member", "guarantor")) == ("encryption", {first, added["key"]})
    assert "KEY_TAKEN" in network.tally("guarantor", "keys", "add", offline).err
    old = network.home / "guarantor/keys/encryption.json"
    rotated = network.done("guarantor", "keys", "rotate", old, "--new", second, "--development")
    assert rotated["old"] == first
    assert keys.inspect(second).purpose == "encryption"
    assert network.done("guarantor", "keys", "revoke", offline)["key"] == added["key"]
    assert valid("member", "guarantor") == {rotated["new"]}
    assert "NOT_YOUR_KEY" in network.tally("erp", "keys", "revoke", rotated["new"]).err

    command = ("party", "register", "reader", "--name", "A Reader", "--encryption")
    assert network.tally("erp", *command, network.home / "erp/keys/signer.json").code == 2
    network.done("erp", *command, party)
    assert valid("party", "reader") == {keys.inspect(party).public.hex()}
    shown = network.done("auditor", "party", "show", "reader")["keys"]
    assert [row["purpose"] for row in shown] == ["encryption"]


def test_governance(network: Any) -> None:
    made = network.done("erp", "gov", "propose", "parameters", "anchor_interval_blocks=77")
    assert made["state"] == "open"
    assert made["id"] in [row["id"] for row in network.done("auditor", "gov", "list")]
    assert network.done("lender", "gov", "vote", made["id"], "--reject")["state"] == "open"
    assert network.done("lender", "gov", "vote", made["id"], "--accept")["state"] == "open"
    assert network.done("guarantor", "gov", "vote", made["id"], "--accept")["state"] == "passed"
    assert network.done("auditor", "gov", "show", made["id"])["votes"] == {
        "erp": True,
        "guarantor": True,
        "lender": True,
    }
    assert network.done("auditor", "gov", "parameters")["parameters"]["anchor_interval_blocks"] == 77
    late = network.tally("procurement", "gov", "vote", made["id"], "--accept")
    assert (late.code, "PROPOSAL_CLOSED" in late.err) == (4, True)
    assert network.tally("auditor", "gov", "propose", "parameters", "t0_ms=900").code == 4
    assert network.tally("erp", "gov", "propose", "parameters", "t0_ms=fast").code == 2
    assert network.tally("erp", "gov", "propose", "parameters", "speed=9").code == 4
    assert network.tally("erp", "gov", "propose", "contract", "credit", "1", "99999").code == 4
    assert network.tally("erp", "gov", "propose", "validators", "erp=zz").code == 2
    assert network.tally("erp", "gov", "vote", "00" * 32, "--accept").code == 4
    assert network.tally("erp", "gov", "vote", "00" * 32).code == 2
    assert network.tally("erp", "gov", "show", "00" * 32).code == 3


def test_a_template_is_approved_adopted_and_used(network: Any, tmp_path: Path) -> None:
    import json

    from genesis import library

    template = {**library.template("general-trade"), "version": 2}
    path = tmp_path / "general-trade-2.json"
    path.write_text(json.dumps(template))
    early = network.tally("erp", "gov", "adopt", path)
    assert (early.code, "NOT_APPROVED" in early.err) == (4, True)
    made = network.done("erp", "gov", "propose", "approve", path)
    for member in ("lender", "guarantor"):
        network.done(member, "gov", "vote", made["id"], "--accept")
    assert network.done("procurement", "gov", "adopt", path)["adopted"] == "template general-trade version 2"
    document = tmp_path / "invoice.xml"
    text = (EXAMPLE / "invoice-KPV-0811.xml").read_text(encoding="utf-8")
    document.write_text(text.replace("KPV-0811", "KPV-V2").replace("99900217", "88800217"), encoding="utf-8")
    network.done("erp", "ingest", document)
    record = network.done("erp", "query", "record", "invoice", "KPV-V2")[0]["record"]
    assert record[7:9] == ["general-trade", 2]
    path.write_text("[]")
    assert network.tally("erp", "gov", "adopt", path).code == 2
    path.write_text("{}")
    assert network.tally("erp", "gov", "adopt", path).code == 2
    assert network.tally("erp", "gov", "adopt").code == 2
    assert network.tally("erp", "gov", "adopt", "--dismiss", "auditor").code == 4


def test_a_member_is_voted_in_and_out(network: Any, tmp_path: Path, tally: Any) -> None:
    from chain import keys

    keys.create(tmp_path / "signer.json", "x", "signer", cost=keys.INTERACTIVE)
    half = tmp_path / "half.json"
    made = tally(
        "genesis", "draft", "--member", "court", "--role", "court", "--signer", tmp_path / "signer.json", "-o", half
    )
    assert made.code == 0, made.err
    for words in ((half,), ("--dismiss", "court")):
        proposal = network.done("erp", "gov", "propose", "approve", *words)
        for member in ("lender", "guarantor"):
            network.done(member, "gov", "vote", proposal["id"], "--accept")
        network.done("erp", "gov", "adopt", *words)
        members = {row["id"] for row in network.done("auditor", "query", "members")}
        assert ("court" in members) is (words == (half,))


def test_anchoring_is_off_here(network: Any) -> None:
    status = network.done("auditor", "anchor", "status")
    assert (status["anchored"], status["anchors"]) == (0, [])
    now = network.tally("auditor", "anchor", "now")
    assert now.code == 3
    assert "NO_ANCHORING" in now.err


def test_a_running_node_is_examined_from_outside(network: Any) -> None:
    done = network.tally("erp", "node", "doctor", "--json")
    found = {row["check"]: row for row in done.json}
    assert done.code == 0, done.out
    assert "a running node holds" in found["ledger"]["text"]
    assert found["peer lender"]["ok"]
    assert found["api.listen"]["text"].endswith("the node listens")
    second = network.tally("erp", "node", "run")
    assert second.code == 2
