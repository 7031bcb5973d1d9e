"""The ceremony: halves travel, keys do not; only what every member signed is sealed; strangers are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain.crypto import SigningKey
from genesis import ceremony
from genesis.strict_json import GenesisError


@pytest.fixture
def draft(consortium: Any) -> ceremony.Genesis:
    made: ceremony.Genesis = consortium.draft()
    return made


@pytest.fixture
def signatures(consortium: Any, draft: ceremony.Genesis) -> dict[str, ceremony.Signature]:
    made: dict[str, ceremony.Signature] = consortium.signatures(draft)
    return made


@pytest.fixture
def sealed_file(tmp_path: Path, draft: ceremony.Genesis, signatures: dict[str, ceremony.Signature]) -> Path:
    path = tmp_path / "genesis.json"
    ceremony.write(path, ceremony.seal(draft, signatures.values()))
    return path


def edit(path: Path, change: Any) -> None:
    whole = json.loads(path.read_text())
    change(whole)
    path.write_text(json.dumps(whole))


def test_the_whole_way_through_files(tmp_path: Path, consortium: Any) -> None:
    for member, half in consortium.halves.items():
        ceremony.write_member(tmp_path / f"{member}.member.json", half)
    halves = [ceremony.read_member(path) for path in sorted(tmp_path.glob("*.member.json"))]
    assert {half["id"]: half for half in halves} == consortium.halves
    consortium.halves = {half["id"]: half for half in halves}
    ceremony.write(tmp_path / "draft.json", consortium.draft())

    handed_out = ceremony.load(tmp_path / "draft.json")
    for member, signature in consortium.signatures(handed_out).items():
        ceremony.write_signature(tmp_path / f"{member}.signature.json", signature)
    gathered = [ceremony.read_signature(path) for path in sorted(tmp_path.glob("*.signature.json"))]
    ceremony.write(tmp_path / "genesis.json", ceremony.seal(handed_out, gathered))

    sealed = ceremony.load_sealed(tmp_path / "genesis.json")
    assert sealed.network_id == handed_out.network_id
    assert sealed.document == handed_out.document
    assert len(sealed.signatures) == 5
    assert sealed.validators == ceremony.load(tmp_path / "draft.json").validators


def test_an_unsealed_file_names_who_has_not_signed(
    tmp_path: Path, draft: ceremony.Genesis, signatures: dict[str, ceremony.Signature]
) -> None:
    path = tmp_path / "draft.json"
    some = [signatures[member] for member in ("erp", "auditor", "procurement")]
    partly = ceremony.add(draft, some)
    ceremony.write(path, partly)
    with pytest.raises(GenesisError, match="not sealed: guarantor, lender has not signed"):
        ceremony.load_sealed(path)
    with pytest.raises(GenesisError, match="guarantor, lender has not signed"):
        ceremony.seal(draft, some)
    ceremony.write(path, ceremony.add(partly, signatures.values()))
    with pytest.raises(GenesisError, match="still a draft: run 'tally genesis seal'"):
        ceremony.load_sealed(path)


def test_calling_a_draft_sealed_does_not_make_it_so(sealed_file: Path) -> None:
    edit(sealed_file, lambda whole: whole["signatures"].pop(2))
    with pytest.raises(GenesisError, match="not sealed: guarantor has not signed"):
        ceremony.load_sealed(sealed_file)


def test_an_altered_document_is_refused(sealed_file: Path) -> None:
    edit(sealed_file, lambda whole: whole["document"]["parameters"].update(t0_ms=2_000))
    with pytest.raises(GenesisError, match="was altered: its document is of network"):
        ceremony.load_sealed(sealed_file)


def test_an_altered_document_with_its_own_hash_is_refused_by_the_signatures(sealed_file: Path) -> None:
    edit(sealed_file, lambda whole: whole["document"]["parameters"].update(t0_ms=2_000))
    with pytest.raises(GenesisError) as caught:
        ceremony.load_sealed(sealed_file)
    true_hash = str(caught.value).split("of network ")[1][:64]
    edit(sealed_file, lambda whole: whole.update(network_id=true_hash))
    with pytest.raises(GenesisError, match="the signature of 'auditor' does not stand"):
        ceremony.load_sealed(sealed_file)


def test_an_altered_signature_is_refused_by_name(sealed_file: Path) -> None:
    edit(sealed_file, lambda whole: whole["signatures"][3].update(signature="00" * 64))
    with pytest.raises(GenesisError, match="the signature of 'lender' does not stand"):
        ceremony.load_sealed(sealed_file)


def test_a_strangers_signature_is_refused_by_name(sealed_file: Path) -> None:
    edit(sealed_file, lambda whole: whole["signatures"].append({"member": "mallory", "signature": "00" * 64}))
    with pytest.raises(GenesisError, match="'mallory' signed but is no member"):
        ceremony.load_sealed(sealed_file)


def test_signing_twice_is_refused_by_name(sealed_file: Path) -> None:
    edit(sealed_file, lambda whole: whole["signatures"].append(whole["signatures"][0]))
    with pytest.raises(GenesisError, match="'auditor' signed twice"):
        ceremony.load_sealed(sealed_file)


def test_a_summary_that_says_something_else_is_refused(sealed_file: Path) -> None:
    edit(sealed_file, lambda whole: whole["summary"].pop())
    with pytest.raises(GenesisError, match="its summary does not say what its document says"):
        ceremony.load_sealed(sealed_file)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda whole: whole.update(file="tally/other"), "is no tally/genesis file"),
        (lambda whole: whole.update(version=2), "update this program"),
        (lambda whole: whole.update(note="hi"), "needs exactly the parts"),
        (lambda whole: whole.update(state="done"), "neither draft nor sealed"),
        (lambda whole: whole.update(signatures={}), "signatures is not a list"),
        (lambda whole: whole["signatures"][0].update(signature="0"), "128 lower-case hex digits"),
        (lambda whole: whole["signatures"][0].update(signature=None), "128 lower-case hex digits"),
        (lambda whole: whole["signatures"][0].pop("member"), "needs exactly member and signature"),
        (lambda whole: whole["document"].update(members=[]), "0 validators"),
    ],
)
def test_a_malformed_file_is_refused(sealed_file: Path, change: Any, reason: str) -> None:
    edit(sealed_file, change)
    with pytest.raises(GenesisError, match=reason) as caught:
        ceremony.load_sealed(sealed_file)
    assert "\n" not in str(caught.value)


def test_signing_needs_the_right_member_and_key(draft: ceremony.Genesis) -> None:
    with pytest.raises(GenesisError, match="'mallory' is no member of this draft"):
        ceremony.sign(draft, "mallory", SigningKey.generate())
    with pytest.raises(GenesisError, match="'erp' signs with its validator key"):
        ceremony.sign(draft, "erp", SigningKey.generate())
    with pytest.raises(GenesisError, match="'auditor' signs with its first signer key"):
        ceremony.sign(draft, "auditor", SigningKey.generate())


def test_a_signature_for_another_draft_is_refused(consortium: Any, draft: ceremony.Genesis) -> None:
    consortium.settings["name"] = "Another consortium"
    other = consortium.signatures(consortium.draft())["erp"]
    with pytest.raises(GenesisError, match="'erp' signed another draft"):
        ceremony.add(draft, [other])


def test_two_halves_with_one_id_or_one_key_are_refused(consortium: Any) -> None:
    consortium.halves["thief"] = {**consortium.halves["erp"], "id": "thief"}
    with pytest.raises(GenesisError, match=r"the key .* stands twice"):
        consortium.draft()
    consortium.halves["thief"]["id"] = "erp"
    with pytest.raises(GenesisError, match="the id 'erp' stands twice"):
        consortium.draft()


def test_no_private_key_leaves_a_member(
    tmp_path: Path, sealed_file: Path, consortium: Any, signatures: dict[str, ceremony.Signature]
) -> None:
    ceremony.write_member(tmp_path / "half", consortium.halves["erp"])
    ceremony.write_signature(tmp_path / "signature", signatures["erp"])
    seed = b"erp validator".ljust(32, b".")
    assert SigningKey.from_seed(seed).public == consortium.halves["erp"]["validator"]
    for path in (tmp_path / "half", tmp_path / "signature", sealed_file):
        assert seed.hex() not in path.read_text()


def test_the_summary_says_in_words_what_is_signed(draft: ceremony.Genesis) -> None:
    text = "\n".join(ceremony.summary(draft))
    assert "consortium: Test consortium, from 2025-06-15 15:06:40 UTC" in text
    assert "agreement: 4 validators, 3 decide, 1 may fail" in text
    assert "member auditor, observer: has no vote" in text
    assert "template general-trade version 1" in text
    assert "parameter t0_ms: 1000" in text
