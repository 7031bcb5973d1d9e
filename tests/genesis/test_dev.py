"""A consortium for one machine: sealed, complete, private, and whole or not there at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from chain import keys
from genesis import ceremony, dev
from genesis.strict_json import GenesisError


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> dev.DevNetwork:
    return dev.make_dev(tmp_path_factory.mktemp("dev") / "network", passphrase="for tests")


def test_the_genesis_is_sealed_by_every_member(network: dev.DevNetwork) -> None:
    sealed = ceremony.load_sealed(network.directory / "genesis.json")
    assert sealed.network_id == network.network_id
    assert [member for member, _ in sealed.validators] == ["erp", "guarantor", "lender", "procurement"]
    assert sealed.members["auditor"]["role"] == "observer"
    assert [party["id"] for party in sealed.document["parties"]] == ["buyer", "enterprise"]


def test_every_key_file_opens_and_is_the_one_in_the_genesis(network: dev.DevNetwork) -> None:
    sealed = ceremony.load_sealed(network.directory / "genesis.json")
    for member in network.members:
        folder, entry = member.folder / "keys", sealed.members[member.id]
        assert keys.load(folder / "network.json", "for tests", purpose="network").public == entry["network"]
        signer = keys.load(folder / "signer.json", "for tests", purpose="signer")
        assert signer.public == entry["signers"][0]["key"]
        if member.role == "observer":
            assert not (folder / "validator.json").exists()
        else:
            validator = keys.load(folder / "validator.json", "for tests", purpose="validator")
            assert validator.public == entry["validator"]
    for party in sealed.document["parties"]:
        path = network.directory / "parties" / f"{party['id']}.json"
        assert keys.load(path, "for tests", purpose="party").public == party["keys"][0]


def test_secrets_are_private_and_nothing_is_left_beside_the_folder(network: dev.DevNetwork) -> None:
    assert stat.S_IMODE(network.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((network.directory / "passphrase").stat().st_mode) == 0o600
    assert os.listdir(network.directory.parent) == ["network"]


def test_the_layout_and_the_ports_are_always_the_same(network: dev.DevNetwork) -> None:
    found = [path for path in network.directory.rglob("*") if path.is_file()]
    files = sorted(str(path.relative_to(network.directory)) for path in found)
    voting = [
        f"{member}/{name}"
        for member in ("erp", "guarantor", "lender", "procurement")
        for name in (
            "keys/encryption.json",
            "keys/network.json",
            "keys/signer.json",
            "keys/validator.json",
            "node.toml",
        )
    ]
    watching = [
        f"auditor/{name}" for name in ("keys/encryption.json", "keys/network.json", "keys/signer.json", "node.toml")
    ]
    parties = [f"parties/{party}{end}.json" for party in ("buyer", "enterprise") for end in ("", ".encryption")]
    shared = ["genesis.json", "passphrase", *parties]
    assert files == sorted(voting + watching + shared)
    assert [(member.id, member.p2p, member.api) for member in network.members][:2] == [
        ("procurement", "127.0.0.1:27100", "127.0.0.1:27101"),
        ("erp", "127.0.0.1:27102", "127.0.0.1:27103"),
    ]


def test_what_is_asked_for_is_in_it(tmp_path: Path) -> None:
    made = dev.make_dev(
        tmp_path,  # an empty folder will do
        name="Seven",
        members=7,
        observers=(),
        parties=[dev.Party("maker", "Maker Ltd", ("GB-COH:2", "GB-COH:1"))],
        base_port=30_000,
        template_ids=["general-trade"],
        parameters={"max_idle_ms": 1_000},
        period_seconds=60,
        time_ms=1_750_000_000_000,
    )
    document = ceremony.load_sealed(tmp_path / "genesis.json").document
    assert (document["name"], document["time"]) == ("Seven", 1_750_000_000_000)
    assert [template["id"] for template in document["templates"]] == ["general-trade"]
    assert [model["id"] for model in document["models"]] == ["standard"]
    assert (document["parameters"]["max_idle_ms"], document["parameters"]["credit_period_s"]) == (1_000, 60)
    assert document["parties"][0]["identifiers"] == ["GB-COH:1", "GB-COH:2"]
    assert len(made.members) == 7
    assert made.members[6].p2p == "127.0.0.1:30012"
    assert len((tmp_path / "passphrase").read_text()) > 20


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"members": 0}, "0 members: choose 1 to 16"),
        ({"members": 17}, "17 members: choose 1 to 16"),
        ({"base_port": 80}, "base port 80 leaves no room"),
        ({"base_port": 65_530}, "base port 65530 leaves no room"),
        ({"template_ids": ["nothing"]}, "unknown template 'nothing'"),
        ({"observers": ("parties",)}, "cannot be called 'parties'"),
        ({"observers": ("erp",)}, "the id 'erp' stands twice|exists already"),
        ({"parameters": {"t0_ms": 1}}, "parameter 't0_ms' is 1"),
    ],
)
def test_a_wrong_wish_is_one_line_and_leaves_nothing(tmp_path: Path, options: dict[str, object], reason: str) -> None:
    with pytest.raises(GenesisError, match=reason) as caught:
        dev.make_dev(tmp_path / "network", **options)  # type: ignore[arg-type]  # wrong values are the point
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_an_occupied_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "work.txt").write_text("mine")
    with pytest.raises(GenesisError, match="exists and is not empty"):
        dev.make_dev(tmp_path)
    with pytest.raises(GenesisError, match="exists and is not empty"):
        dev.make_dev(tmp_path / "work.txt")
    assert os.listdir(tmp_path) == ["work.txt"]


def test_an_observer_may_have_a_role_and_has_no_vote(tmp_path: Path) -> None:
    made = dev.make_dev(tmp_path / "net", observers=("court=court", "auditor"), passphrase="for tests")
    sealed = ceremony.load_sealed(made.directory / "genesis.json")
    assert [sealed.members[name]["role"] for name in ("court", "auditor")] == ["court", "observer"]
    assert sealed.members["court"]["validator"] is None
    assert not (made.directory / "court" / "keys" / "validator.json").exists()
    assert "validator" not in (made.directory / "court" / "node.toml").read_text(encoding="utf-8")
    with pytest.raises(GenesisError, match="no role 'judge'"):
        dev.make_dev(tmp_path / "other", observers=("court=judge",), passphrase="for tests")
