"""The claimant's particulars: what is taken from the file, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tallystick.litigation import Agent, BankAccount, LitigationError, Particulars
from tallystick.litigation.particulars import MAX_FILE, load, parse


def test_a_party_is_called_as_the_file_says_else_as_the_chain_does() -> None:
    found = parse(
        json.dumps(
            {
                "parties": {
                    "lender": {
                        "name": "江海供应链银行",
                        "phone": "021",
                        "agent": {"name": "李若溪", "power": "special"},
                        "account": {"holder": "江海", "bank": "营业部", "number": "31"},
                    },
                    "person": {"kind": "person", "address": "苏州"},
                }
            }
        ).encode()
    )
    lender = found.party("lender", "bank")
    assert (lender.name, lender.phone, lender.chain_id) == ("江海供应链银行", "021", "lender")
    assert lender.agent == Agent("李若溪", power="special")
    assert lender.account == BankAccount("江海", "营业部", "31")
    person = found.party("person", "王某")
    assert (person.name, person.kind, person.address, person.agent) == ("王某", "person", "苏州", None)
    assert found.party("nobody", "nobody").name == "nobody"


def test_nothing_has_to_be_said() -> None:
    assert parse(b"{}") == Particulars()


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"courtt": "x"}, "courtt"),
        ({"copies": "2"}, "copies"),
        ({"copies": -1}, "copies"),
        ({"parties": {"a": {"kind": "ship"}}}, "parties.a.kind"),
        ({"parties": {"a": {"agent": {"name": ""}}}}, "parties.a.agent.name"),
        ({"loan": {"signed_on": "26 February"}}, "loan.signed_on"),
        ({"loan": {"rate_bp": 10_001}}, "loan.rate_bp"),
        ({"loan": {"amount": 1.5}}, "loan.amount"),
        ({"collateral": [{"kind": "mortgage", "description": "x", "ceiling": -1}]}, "collateral.0.ceiling"),
        ({"evidence": [{"name": "x", "source": "y", "proves": "z", "sha256": "ff"}]}, "evidence.0.sha256"),
        ({"facts_text": "x" * 4_001}, "facts_text"),
        ([], "the file"),
    ],
)
def test_what_is_wrong_is_named(content: Any, place: str) -> None:
    with pytest.raises(LitigationError) as raised:
        parse(json.dumps(content).encode())
    assert raised.value.code == "PARTICULARS_WRONG"
    assert f"{place}: " in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b" " * (MAX_FILE + 1)])
def test_what_is_no_json_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "particulars.json"
    path.write_bytes(data)
    with pytest.raises(LitigationError) as raised:
        load(path)
    assert raised.value.code == "PARTICULARS_WRONG"
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LitigationError, match="No such file"):
        load(tmp_path / "none.json")
