"""``tally genesis``: the ceremony at the command line, and every way it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain import keys

SECRET = {"TALLY_PASSPHRASE": "correct horse"}
ROLES = ("procurement", "erp", "guarantor", "lender")


@pytest.fixture(scope="module")
def halves(tally: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each member's keys and public half."""
    folder = tmp_path_factory.mktemp("ceremony")
    for role in ROLES:
        for purpose in ("signer", "network", "validator", "encryption"):
            keys.create(folder / role / f"{purpose}.json", "correct horse", purpose, cost=keys.INTERACTIVE)
        done = tally(
            "genesis", "draft", "--member", role, "--role", role,
            "--signer", folder / role / "signer.json", "--network", folder / role / "network.json",
            "--validator", folder / role / "validator.json", "--encryption", folder / role / "encryption.json",
            "-o", folder / f"{role}.json",
        )  # fmt: skip
        assert done.code == 0, done.err
    return folder


def draft(tally: Any, folder: Path, output: Path, *options: str) -> Any:
    parts = [folder / f"{role}.json" for role in ROLES]
    return tally("genesis", "draft", *parts, "--name", "Pumps", "--time", "1750000000000", "-o", output, *options)


def signed(tally: Any, folder: Path, path: Path, *roles: str) -> list[Path]:
    files = []
    for role in roles:
        output = path.with_name(f"{path.stem}-{role}.sig.json")
        done = tally(
            "genesis",
            "sign",
            path,
            "--member",
            role,
            "--key",
            folder / role / "validator.json",
            "-o",
            output,
            **SECRET,
        )
        assert done.code == 0, done.err
        assert "consortium: Pumps" in done.out
        files.append(output)
    return files


def test_the_whole_ceremony(tally: Any, halves: Path, tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    made = draft(tally, halves, path, "--json")
    assert made.code == 0, made.err
    assert made.json["missing"] == sorted(ROLES)
    for role in ROLES:
        public = keys.inspect(halves / role / "encryption.json").public.hex()
        assert f"opens documents with {public}" in "\n".join(made.json["summary"])
    sealed = tmp_path / "genesis.json"
    done = tally("genesis", "seal", path, *signed(tally, halves, path, *ROLES), "-o", sealed)
    assert done.code == 0, done.err
    shown = tally("genesis", "show", sealed, "--json")
    assert shown.json["state"] == "sealed"
    assert shown.json["missing"] == []
    assert shown.json["network_id"] == made.json["network_id"]
    assert "signed by every member" in tally("genesis", "show", sealed).out


def test_a_seal_names_who_has_not_signed(tally: Any, halves: Path, tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    draft(tally, halves, path)
    done = tally("genesis", "seal", path, *signed(tally, halves, path, "erp", "lender"), "-o", tmp_path / "g.json")
    assert done.code == 2
    assert "guarantor, procurement has not signed" in done.err
    assert not (tmp_path / "g.json").exists()


def test_an_altered_file_is_refused(tally: Any, halves: Path, tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    draft(tally, halves, path)
    whole = json.loads(path.read_text())
    whole["document"]["name"] = "Other"
    path.write_text(json.dumps(whole))
    done = tally("genesis", "show", path)
    assert done.code == 2
    assert "was altered" in done.err


def test_signing_with_another_key_is_refused(tally: Any, halves: Path, tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    draft(tally, halves, path)
    done = tally(
        "genesis", "sign", path, "--member", "erp", "--key", halves / "lender/validator.json",
        "-o", tmp_path / "s", **SECRET,
    )  # fmt: skip
    assert done.code == 2
    assert "signs with its validator key" in done.err
    stranger = tally(
        "genesis", "sign", path, "--member", "bank", "--key", halves / "erp/validator.json",
        "-o", tmp_path / "s", **SECRET,
    )  # fmt: skip
    assert "'bank' is no member of this draft" in stranger.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--template", "steel"), "unknown template 'steel': use one of"),
        (("--model", "magic-2"), "unknown model 'magic-2'"),
        (("--parameter", "t0_ms=soon"), "is not NAME=NUMBER"),
        (("--parameter", "t0_ms=1.5"), "is not NAME=NUMBER"),
        (("--parameter", "t0_ms=1"), "choose 50 to"),
        (("--parameter", "speed=1"), "unknown parameter 'speed'"),
        (("--party", "kestrel"), "is not ID=KEYFILE[,ENCRYPTIONKEYFILE]=NAME"),
    ],
)
def test_a_wrong_draft_is_one_line(
    tally: Any, halves: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    done = draft(tally, halves, tmp_path / "draft.json", *options)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "draft.json").exists()


def test_a_half_wants_keys_of_the_right_purpose(tally: Any, halves: Path, tmp_path: Path) -> None:
    done = tally(
        "genesis", "draft", "--member", "erp", "--role", "erp", "--signer", halves / "erp/network.json",
        "-o", tmp_path / "half.json",
    )  # fmt: skip
    assert done.code == 2
    assert "is a network key where a signer key is needed" in done.err
    encryption = tally(
        "genesis", "draft", "--member", "erp", "--role", "erp", "--signer", halves / "erp/signer.json",
        "--encryption", halves / "erp/signer.json", "-o", tmp_path / "half.json",
    )  # fmt: skip
    assert "is a signer key where an encryption key is needed" in encryption.err
    role = tally(
        "genesis", "draft", "--member", "erp", "--role", "king", "--signer", halves / "erp/signer.json",
        "-o", tmp_path / "half.json",
    )  # fmt: skip
    assert "unknown role 'king'" in role.err
    assert tally("genesis", "draft", "-o", tmp_path / "x").code == 2


def test_a_party_may_stand_in_the_draft(tally: Any, halves: Path, tmp_path: Path) -> None:
    keys.create(tmp_path / "k.json", "x", "party", cost=keys.INTERACTIVE)
    done = draft(tally, halves, tmp_path / "d.json", "--party", f"kestrel={tmp_path / 'k.json'}=Kestrel=GB-COH:1")
    assert done.code == 0, done.err
    document = json.loads((tmp_path / "d.json").read_text())["document"]
    assert document["parties"][0]["identifiers"] == ["GB-COH:1"]
    assert document["parties"][0]["encryption"] is None
    half = keys.create(tmp_path / "e.json", "x", "encryption", cost=keys.INTERACTIVE)
    both = f"kestrel={tmp_path / 'k.json'},{tmp_path / 'e.json'}=Kestrel"
    assert draft(tally, halves, tmp_path / "d.json", "--party", both).code == 0
    document = json.loads((tmp_path / "d.json").read_text())["document"]
    assert document["parties"][0]["encryption"] == half.public.hex()
    swapped = f"kestrel={tmp_path / 'e.json'},{tmp_path / 'k.json'}=Kestrel"
    assert "where a party key is needed" in draft(tally, halves, tmp_path / "w.json", "--party", swapped).err


def test_a_development_folder_is_made_whole_or_refused(tally: Any, tmp_path: Path) -> None:
    done = tally(
        "genesis", "dev", tmp_path / "net", "--members", "1", "--base-port", "30000",
        "--party", "kestrel=Kestrel=GB-COH:1", "--parameter", "t0_ms=500", "--template", "bench", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert [row["id"] for row in done.json["members"]] == ["procurement", "auditor"]
    assert done.json["members"][0]["api"] == "http://127.0.0.1:30001"
    assert (tmp_path / "net/parties/kestrel.json").exists()
    again = tally("genesis", "dev", tmp_path / "net")
    assert again.code == 2
    assert "exists and is not empty" in again.err
    assert tally("genesis", "dev", tmp_path / "n2", "--members", "17").code == 2
    assert tally("genesis", "dev", tmp_path / "n2", "--base-port", "70000").code == 2
    assert "is not ID=NAME" in tally("genesis", "dev", tmp_path / "n2", "--party", "x").err
    assert not (tmp_path / "n2").exists()
