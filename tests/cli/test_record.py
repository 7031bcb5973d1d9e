"""``tally record`` on a network that runs: sealed fields shown, disclosed, opened, refused; readers named."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain import keys
from tests.cli.conftest import PASSPHRASE, run

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).resolve().parents[2] / "genesis/example/documents/invoice-KPV-0826.xml"
TEXT = SOURCE.read_text(encoding="utf-8").replace("99900217", "88800217")  # nobody else's enterprise
ACCOUNT = "GB00 ZZZZ 0000 0099 9002 17"


def eventually(check: Callable[[], Any], within_s: float = 30.0) -> Any:
    """What a check gives once it gives something."""
    deadline = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def bill(network: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bill with sealed fields on the chain of erp: its file and its record's id."""
    path = tmp_path_factory.mktemp("bill") / "record-1.xml"
    path.write_text(TEXT.replace("KPV-0826", "REC-1"), encoding="utf-8")
    done = network.done("erp", "ingest", path)
    return path, done["files"][0]["records"][0]["id"]


def test_the_owner_sees_the_sealed_fields_and_gets_the_file_back(
    network: Any, bill: tuple[Path, str], tmp_path: Path
) -> None:
    path, identity = bill
    shown = network.done("erp", "record", "show", identity)
    assert shown["sealed"]["payee_account"] == ACCOUNT
    assert "payee_account" not in shown["record"][12]
    assert f"payee_account   {ACCOUNT}" in network.tally("erp", "record", "show", identity).out
    network.done("erp", "record", "file", identity, "-o", tmp_path / "back.xml")
    assert (tmp_path / "back.xml").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("member", ["auditor", "procurement"])
def test_who_is_no_reader_sees_the_record_and_is_told_why_not_the_rest(
    network: Any, bill: tuple[Path, str], member: str
) -> None:
    """The second keeps a copy that it cannot open."""
    shown = eventually(lambda: refused(network, member, bill[1], "NOT_A_READER"))
    assert shown["sealed"] is None
    said = network.tally(member, "record", "show", bill[1])
    assert said.code == 0
    assert "Sealed fields: not readable here (NOT_A_READER" in said.out
    assert ACCOUNT not in said.out


def refused(network: Any, member: str, identity: str, code: str) -> Any:
    """The record as a member's node shows it, once that gives this reason for not showing what is sealed."""
    shown = network.done(member, "record", "show", identity)
    return shown if (shown["not_readable"] or {}).get("code") == code else None


def test_one_field_for_one_member(network: Any, bill: tuple[Path, str], tmp_path: Path) -> None:
    path, identity = bill
    sealed, plain = tmp_path / "account.sealed", tmp_path / "account.disclosure"
    made = network.done(
        "erp", "record", "disclose", identity, "--field", "payee_account", "--raw", "--to", "auditor",
        "--to", "kestrel",
        "-o", sealed,
    )  # fmt: skip
    assert made["fields"] == ["payee_account"]
    assert made["to"] == ["auditor", "kestrel"]
    assert ACCOUNT.encode() not in sealed.read_bytes()
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    for who in ("auditor", "kestrel"):
        opened = network.done(who, "record", "open", sealed, "--genesis", network.genesis, "-o", plain)
        assert opened["subject"]["opened"] == {"payee_account": ACCOUNT}
        assert opened["subject"]["record_id"] == identity
    verified = run("verify", plain, "--genesis", network.genesis, "--file", path, "--json").json
    assert verified["proofs"][0]["subject"]["file"] is True
    said = run("verify", plain, "--genesis", network.genesis).out
    assert ACCOUNT in said
    assert "seller_address" in said
    assert "Foundry Road" not in said, "the other fields stay sealed"
    other = network.tally("lender", "record", "open", sealed, "--genesis", network.genesis)
    assert (other.code, other.out) == (3, "")
    assert "sealed to other keys (of auditor, kestrel)" in other.err
    still_sealed = run("verify", sealed, "--genesis", network.genesis)
    assert still_sealed.code == 6
    assert "tally record open" in still_sealed.err


def test_a_disclosure_that_was_tampered_with_is_exit_code_6(
    network: Any, bill: tuple[Path, str], tmp_path: Path
) -> None:
    from chain.codec import decode, encode

    path = tmp_path / "open.disclosure"
    network.done("erp", "record", "disclose", bill[1], "--field", "payee_account", "--raw", "--open", path)
    whole = decode(path.read_bytes())
    (name, salt, _value, *place) = whole["openings"][0]
    wrong_file = tmp_path / "wrong.xml"
    wrong_file.write_text("<Invoice/>")
    for openings, more in (
        ([[name, salt, "GB00", *place]], ()),
        ([[name, bytes(32), ACCOUNT, *place]], ()),
        (whole["openings"], ("--file", wrong_file)),
    ):
        path.write_bytes(encode({**whole, "openings": openings}))
        result = run("verify", path, "--genesis", network.genesis, *more)
        assert result.code == 6
        assert result.err.count("\n") == 1


def test_what_cannot_be_disclosed_is_one_line(network: Any, bill: tuple[Path, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    to = ("--to", "auditor", "-o", out)
    loan = "00" * 32
    cases = [
        (("erp", bill[1], "--field", "total", *to), 2, "OPEN_FIELD"),
        (("erp", bill[1], "--field", "nonsense", *to), 3, "UNKNOWN_FIELD"),
        (("erp", bill[1], *to), 2, "NOTHING_TO_DISCLOSE"),
        (("erp", bill[1], "--field", "payee_account", "--to", "nobody", "-o", out), 3, "UNKNOWN_RECIPIENT"),
        (("erp", bill[1], "--field", "payee_account"), 2, "USAGE"),
        (("erp", bill[1], "--field", "payee_account", "--to", "auditor", "--open", out), 2, "USAGE"),
        (("erp", loan, "--field", "payee_account", *to), 3, "NOT_PROVABLE"),
        (("erp", "zz", "--field", "payee_account", *to), 2, "USAGE"),
    ]
    for (member, identity, *more), code, name in cases:
        result = network.tally(member, "record", "disclose", identity, *more, "--json")
        assert (result.code, json.loads(result.out)["error"]["code"]) == (code, name)
        assert result.err.count("\n") == 1
    assert not out.exists()


def test_a_recipient_without_an_encryption_key(network: Any, bill: tuple[Path, str], tmp_path: Path) -> None:
    network.done("procurement", "party", "register", "keyless", "--name", "Keyless Ltd", "--identifier", "X:keyless")
    out = tmp_path / "out"
    result = network.tally(
        "erp", "record", "disclose", bill[1], "--field", "payee_account", "--to", "keyless", "-o", out, "--json"
    )
    assert (result.code, json.loads(result.out)["error"]["code"]) == (3, "NO_ENCRYPTION_KEY")


def test_a_record_with_nothing_sealed(network: Any, tmp_path: Path) -> None:
    """A contract of the example has open fields only."""
    source = SOURCE.with_name("contract-MVW-2026-014.json")
    path = tmp_path / "contract.json"
    path.write_text(source.read_text(encoding="utf-8").replace("99900217", "88800217").replace("2026-014", "2026-R1"))
    identity = network.done("procurement", "ingest", path)["files"][0]["records"][0]["id"]
    shown = network.done("procurement", "record", "show", identity)
    assert (shown["sealed"], shown["not_readable"]) == (None, None)
    out = tmp_path / "out"
    result = network.tally(
        "procurement", "record", "disclose", identity, "--field", "payee_account", "--open", out, "--json"
    )
    assert (result.code, json.loads(result.out)["error"]["code"]) == (3, "NO_SEALED_FIELDS")


def test_an_encryption_key_only_opens(network: Any, bill: tuple[Path, str], tmp_path: Path) -> None:
    sealed = tmp_path / "account.sealed"
    network.done("erp", "record", "disclose", bill[1], "--field", "payee_account", "--to", "auditor", "-o", sealed)
    signer = network.home / "auditor/keys/signer.json"
    wrong = network.tally("auditor", "record", "open", sealed, "--genesis", network.genesis, "--key", signer)
    assert wrong.code == 2
    assert "is a signer key: disclosures are opened with an encryption key" in wrong.err
    right = network.home / "auditor/keys/encryption.json"
    opened = network.done("auditor", "record", "open", sealed, "--genesis", network.genesis, "--key", right)
    assert opened["subject"]["opened"] == {"payee_account": ACCOUNT}
    another = network.tally("auditor", "record", "open", sealed, "--genesis", "00" * 32)
    assert another.code == 6
    damaged = sealed.read_bytes()[:-1] + b"\x00"
    sealed.write_bytes(damaged)
    assert network.tally("auditor", "record", "open", sealed, "--genesis", network.genesis).code == 3


def test_readers_are_named_read_and_left_out_again(network: Any, bill: tuple[Path, str], tmp_path: Path) -> None:
    _, identity = bill
    assert "nobody" not in network.tally("erp", "record", "readers", "show", "erp").out
    network.done("erp", "record", "readers", "set", "invoice=lender", "*=auditor")
    listed = network.done("erp", "record", "readers", "show", "erp")
    assert listed["erp"]["rules"] == {"*": ["auditor"], "invoice": ["lender"]}
    shown = eventually(lambda: network.done("lender", "record", "show", identity)["sealed"])
    assert shown["payee_account"] == ACCOUNT
    out = tmp_path / "from-a-reader"
    network.done("lender", "record", "disclose", identity, "--field", "payee_account", "--to", "kestrel", "-o", out)
    opened = network.done("kestrel", "record", "open", out, "--genesis", network.genesis)
    assert opened["subject"]["opened"] == {"payee_account": ACCOUNT}
    assert refused(network, "auditor", identity, "NOT_A_READER"), "'*' is every kind not named"
    network.done("erp", "record", "readers", "set", "invoice=auditor")
    shown = eventually(lambda: network.done("auditor", "record", "show", identity)["sealed"])
    assert shown["payee_account"] == ACCOUNT
    eventually(lambda: refused(network, "lender", identity, "NOT_A_READER"))
    network.done("erp", "record", "readers", "set", "--nobody")
    eventually(lambda: refused(network, "auditor", identity, "READER_REVOKED"))


def test_a_party_without_a_node_reads_with_its_own_key(network: Any, bill: tuple[Path, str], tmp_path: Path) -> None:
    """From the owner's node or a custodian's, which cannot open what it hands out."""
    path, identity = bill
    named, stranger = (network.home / f"parties/{party}.encryption.json" for party in ("kestrel", "marlow"))
    network.done("erp", "record", "readers", "set", "invoice=kestrel")

    def seen(member: str) -> Any:
        return eventually(lambda: as_party(network, member, "show", identity, named)["sealed"])

    for member in ("erp", "guarantor"):
        assert seen(member)["payee_account"] == ACCOUNT
        refusal = as_party(network, member, "show", identity, stranger)["not_readable"]
        assert refusal["code"] == "NOT_A_READER"
    as_party(network, "guarantor", "file", identity, named, "-o", tmp_path / "back.xml")
    assert (tmp_path / "back.xml").read_bytes() == path.read_bytes()
    out = tmp_path / "shown on"
    as_party(
        network, "guarantor", "disclose", identity, named, "--field", "payee_account", "--to", "marlow", "-o", out
    )
    opened = network.done("marlow", "record", "open", out, "--genesis", network.genesis)
    assert opened["subject"]["opened"] == {"payee_account": ACCOUNT}
    assert as_party(network, "auditor", "show", identity, named)["not_readable"]["code"] == "NOT_HELD"


def as_party(network: Any, member: str, what: str, identity: str, key: Path, *more: str | Path) -> Any:
    """`tally record` at a member's node with a party's key."""
    node = network.nodes.nodes[member].api
    result = run("record", what, identity, "--node", node, "--key", key, *more, "--json", TALLY_PASSPHRASE=PASSPHRASE)
    assert result.code == 0, result.err
    return result.json


def test_readers_that_cannot_be_named(network: Any) -> None:
    for rules, code, exit_code in (
        (("invoice",), "USAGE", 2),
        (("invoice=lender", "invoice=auditor"), "USAGE", 2),
        ((), "USAGE", 2),
        (("invoice=nobody-at-all",), "UNKNOWN_READER", 4),
    ):
        result = network.tally("erp", "record", "readers", "set", *rules, "--json")
        assert (result.code, json.loads(result.out)["error"]["code"]) == (exit_code, code), result.err
    assert network.tally("erp", "record", "readers", "show", "nowhere").code == 3
    misspelt = network.tally("guarantor", "record", "readers", "set", "garantee=lender")
    assert misspelt.code == 0
    assert "has a kind 'garantee': check that it is spelt right" in misspelt.err


def test_a_key_added_later_opens_what_is_disclosed_then(network: Any, bill: tuple[Path, str], tmp_path: Path) -> None:
    """The one kept offline: a disclosure is sealed to every valid key of its recipient."""
    offline = tmp_path / "offline.json"
    half = keys.create(offline, PASSPHRASE, "encryption", cost=keys.INTERACTIVE)
    add = json.dumps({"key": {"$hex": half.public.hex()}, "purpose": "encryption"})
    network.done("lender", "tx", "submit", "--contract", "registry", "--method", "add_key", "--args", add)
    sealed = tmp_path / "account.sealed"
    network.done("erp", "record", "disclose", bill[1], "--field", "payee_account", "--to", "lender", "-o", sealed)
    for path in (offline, network.home / "lender/keys/encryption.json"):
        opened = network.done("lender", "record", "open", sealed, "--genesis", network.genesis, "--key", path)
        assert opened["subject"]["opened"] == {"payee_account": ACCOUNT}
