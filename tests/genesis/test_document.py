"""The genesis document: one form, one network id, and a line for everything that does not stand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain.codec import decode, encode
from chain.crypto import sha256
from genesis import document, library, strict_json
from genesis.strict_json import GenesisError

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def json_form(consortium: Any) -> dict[str, Any]:
    return copy.deepcopy(document.to_json(consortium.draft().document))


def test_json_and_canonical_form_are_the_same_document(json_form: dict[str, Any]) -> None:
    whole = document.from_json(json.loads(json.dumps(json_form)))
    assert document.to_json(whole) == json_form
    assert decode(encode(whole)) == whole
    assert document.network_id(whole) == sha256(document.signed_bytes(whole))


def test_the_order_of_members_does_not_change_the_network(json_form: dict[str, Any]) -> None:
    before = document.network_id(document.from_json(json_form))
    json_form["members"].reverse()
    assert document.network_id(document.from_json(json_form)) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda doc: doc.update(name="Another"),
        lambda doc: doc.update(time=doc["time"] + 1),
        lambda doc: doc["parameters"].update(t0_ms=999),
        lambda doc: doc["members"][0]["signers"][0].update(rights=["credit.decide"]),
        lambda doc: doc["members"][0].update(encryption=None),
        lambda doc: doc["parties"][0].update(encryption=None),
        lambda doc: doc["templates"][0].update(time_zone_minutes=60),
        lambda doc: doc["models"][0].update(grace_days=100),
    ],
)
def test_every_part_changes_the_network_id(json_form: dict[str, Any], change: Change) -> None:
    before = document.network_id(document.from_json(json_form))
    change(json_form)
    assert document.network_id(document.from_json(json_form)) != before


def test_a_party_without_identifiers_is_known_by_its_id(json_form: dict[str, Any]) -> None:
    del json_form["parties"][0]["identifiers"]
    assert document.from_json(json_form)["parties"][0]["identifiers"] == ["maker"]


def test_without_an_encryption_key_a_document_says_none(json_form: dict[str, Any]) -> None:
    whole = document.from_json(json_form)
    assert [member["id"] for member in whole["members"] if member["encryption"] is None] == ["lender"]
    for row in (*json_form["members"], *json_form["parties"]):
        row.pop("encryption")
    bare = document.from_json(json_form)
    assert all(row["encryption"] is None for row in (*bare["members"], *bare["parties"]))
    assert document.from_json(document.to_json(bare)) == bare


def test_validators_and_ceremony_keys(consortium: Any) -> None:
    whole = consortium.draft().document
    assert [member for member, _ in document.validators(whole)] == ["erp", "guarantor", "lender", "procurement"]
    auditor, erp = whole["members"][:2]
    assert document.ceremony_key(auditor) == auditor["signers"][0]["key"]
    assert document.ceremony_key(erp) == erp["validator"]


def _copy_key(doc: dict[str, Any]) -> None:
    doc["members"][1]["signers"][0]["key"] = doc["members"][2]["validator"]


def _a_template_twice(doc: dict[str, Any]) -> None:
    doc["templates"].append(doc["templates"][0])


def _no_votes(doc: dict[str, Any]) -> None:
    for member in doc["members"]:
        member["validator"] = None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda doc: doc["members"][1].update(id="Erp!"), r"members\[1\].id: 'Erp!' is no id"),
        (lambda doc: doc["members"][1].update(id="consortium"), "'consortium' is the shared chain's"),
        (lambda doc: doc["members"][1].update(id="lender"), "the id 'lender' stands twice"),
        (lambda doc: doc["members"][1].update(role="bank"), "unknown role 'bank': use one of procurement"),
        (lambda doc: doc["members"][0].update(validator=doc["members"][0]["network"]), "'auditor' has no vote"),
        (lambda doc: doc["members"][1].update(network=None), "validator 'erp' has no network key"),
        (lambda doc: doc["members"][0].update(signers=[]), "member 'auditor' has no key to sign with"),
        (lambda doc: doc["members"][1].update(validator="00" * 32), "no Ed25519 key that only its owner"),
        (lambda doc: doc["members"][1].update(validator="AB" * 32), "64 lower-case hex digits"),
        (lambda doc: doc["members"][1].update(validator=7), "64 lower-case hex digits"),
        (lambda doc: doc["members"][1].update(encryption="00" * 32), "no Ed25519 key that only its owner"),
        (lambda doc: doc["members"][1].update(encryption=doc["members"][1]["network"]), "[0-9a-f]{64} stands twice"),
        (lambda doc: doc["parties"][0].update(encryption=doc["members"][1]["encryption"]), "stands twice"),
        (lambda doc: doc["parties"][0].update(encryption="short"), r"parties\[0\].encryption"),
        (lambda doc: doc["parameters"].update(custody_copies=0), "parameter 'custody_copies' is 0: choose 1 to 8"),
        (lambda doc: doc["members"][1].update(vote=True), "Extra inputs are not permitted"),
        (lambda doc: doc["members"][1].pop("role"), r"members\[1\].role: Field required"),
        (lambda doc: doc["members"][1]["signers"][0].update(rights=["records.delete"]), "'records.delete' is no"),
        (lambda doc: doc["members"][1]["signers"][0].update(rights=[]), "at least one right, each once"),
        (_copy_key, "the key [0-9a-f]{64} stands twice"),
        (_no_votes, "0 validators: a consortium has 1 to 16"),
        (lambda doc: doc["parties"][0].update(id="erp"), "the id 'erp' stands twice"),
        (lambda doc: doc["parties"][0].update(keys=[]), r"parties\[0\].keys: List should have at least 1"),
        (lambda doc: doc["parameters"].update(block_size=1), "unknown parameter 'block_size'"),
        (lambda doc: doc["parameters"].pop("t0_ms"), "parameter 't0_ms' is missing: its default is 1000"),
        (lambda doc: doc["parameters"].update(t0_ms=0), "parameter 't0_ms' is 0: choose 50 to 8000"),
        (lambda doc: doc["parameters"].update(t0_ms=500.0), "parameters.t0_ms"),
        (lambda doc: doc["parameters"].update(t0_ms="500"), "parameters.t0_ms"),
        (lambda doc: doc["templates"].clear(), "templates: List should have at least 1"),
        (_a_template_twice, "template 'general-trade' version 1 stands twice"),
        (lambda doc: doc["templates"][0].update(version=0), "template 'general-trade' does not stand: version"),
        (lambda doc: doc["templates"][0]["kinds"]["order"].update(category="thing"), "'general-trade' does not"),
        (
            lambda doc: doc["templates"][0]["kinds"]["order"].update(uploaders=["bank"]),
            "lets the unknown role 'bank' upload",
        ),
        (lambda doc: doc["models"][0].pop("weights"), "model 'standard' does not stand"),
        (lambda doc: doc["models"][0].update(extra=1.5), "cannot encode|does not stand"),
        (lambda doc: doc["models"].clear(), "models: List should have at least 1"),
        (lambda doc: doc["models"].append(doc["models"][0]), "model 'standard' version 1 stands twice"),
        (lambda doc: doc["templates"][0].update(model="gold"), "is judged by model 'gold', which is not among"),
        (lambda doc: doc["templates"][0]["milestones"][0].update(stage="sold"), "milestone 1: stage is one of"),
        (lambda doc: doc["contracts"].pop("gov"), "version of each of anchor, .*gov"),
        (lambda doc: doc["contracts"].update(gov=0), "contract 'gov' has no version 0: this program has 1"),
        (lambda doc: doc.update(name=""), "name: .*at least 1"),
        (lambda doc: doc.update(time=-1), "time: "),
        (lambda doc: doc.update(time=2**60), "time: "),
        (lambda doc: doc.update(surplus=1), "surplus: "),
    ],
)
def test_what_does_not_stand_is_refused_in_one_line(json_form: dict[str, Any], change: Change, reason: str) -> None:
    change(json_form)
    with pytest.raises(GenesisError, match=reason) as caught:
        document.from_json(json_form)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("the genesis document does not stand: ")


@pytest.mark.parametrize("value", [None, [], "text", 7])
def test_what_is_no_document_is_refused(value: Any) -> None:
    with pytest.raises(GenesisError, match="does not stand"):
        document.from_json(value)


def test_a_document_past_its_size_is_refused(json_form: dict[str, Any]) -> None:
    json_form["templates"][0]["comment"] = "x" * document.MAX_SIZE
    with pytest.raises(GenesisError, match="make it smaller"):
        document.from_json(json_form)


def test_every_shipped_template_and_model_stands(json_form: dict[str, Any]) -> None:
    assert "general-trade" in library.template_ids()
    json_form["templates"] = [library.template(name) for name in library.template_ids()]
    json_form["models"] = [library.model(name) for name in library.model_ids()]
    document.from_json(json_form)


def test_an_unknown_template_or_model_names_the_known_ones() -> None:
    with pytest.raises(GenesisError, match=r"unknown template 'nothing': use one of .*general-trade"):
        library.template("nothing")
    with pytest.raises(GenesisError, match=r"unknown model '\.\./x': use one of .*standard-1"):
        library.model("../x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": 1.5}', "1.5 is a fraction .*write it in quotes"),
        (b'{"a": 1e3}', "1e3 is a fraction"),
        (b'{"a": NaN}', "NaN is a fraction"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the name 'c' stands twice"),
        (b'{"a": }', "not JSON .line 1, column 7"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "file.json: "),
    ],
)
def test_json_that_could_be_read_two_ways_is_refused(tmp_path: Path, text: bytes, reason: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text)
    with pytest.raises(GenesisError, match=reason) as caught:
        strict_json.read(path)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(GenesisError, match="no file at"):
        strict_json.read(tmp_path / "none")
    with pytest.raises(GenesisError, match="cannot read"):
        strict_json.read(tmp_path)
    (tmp_path / "taken").write_text("")
    with pytest.raises(GenesisError, match="cannot write"):
        strict_json.write(tmp_path / "taken" / "file", {})


def test_every_parameter_has_a_default_within_its_bounds() -> None:
    assert document.DEFAULTS.keys() == document.BOUNDS.keys()
    for name, value in document.DEFAULTS.items():
        least, most = document.BOUNDS[name]
        assert least <= value <= most, name
