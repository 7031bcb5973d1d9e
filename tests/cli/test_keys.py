"""``tally keys`` without a node."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from chain import keys
from genesis.dev import DevNetwork

SECRET = {"TALLY_PASSPHRASE": "correct horse"}


def new(tally: Any, path: Path, purpose: str = "signer") -> Any:
    return tally("keys", "new", path, "--purpose", purpose, "--development", "--json", **SECRET)


def test_a_new_key_is_private_and_opens_with_its_passphrase(tally: Any, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "signer.json"
    made = new(tally, path)
    assert made.code == 0
    assert made.json["purpose"] == "signer"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.load(path, "correct horse", purpose="signer").public.hex() == made.json["public"]
    shown = tally("keys", "show", path, "--json")
    assert shown.json == {**made.json, "opened": False}
    assert tally("keys", "show", path, "--check", **SECRET).code == 0


def test_a_key_is_never_overwritten(tally: Any, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    new(tally, path)
    before = path.read_bytes()
    again = new(tally, path)
    assert again.code == 2
    assert "no key is overwritten" in again.err
    assert path.read_bytes() == before


def test_an_encryption_key_is_a_key_of_its_own_purpose(tally: Any, tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    made = new(tally, path, "encryption")
    assert (made.code, made.json["purpose"]) == (0, "encryption")
    assert keys.load(path, "correct horse", purpose="encryption").public.hex() == made.json["public"]
    done = tally("tx", "submit", "--key", path, "--contract", "gov", "--method", "vote", **SECRET)
    assert done.code == 2
    assert "is an encryption key" in done.err
    assert "--purpose" in new(tally, tmp_path / "x.json", "sealing").err


def test_only_a_key_that_signs_has_rights(tally: Any, dev: DevNetwork, tmp_path: Path) -> None:
    new(tally, tmp_path / "s.json", "signer")
    new(tally, tmp_path / "e.json", "encryption")
    home = ("--home", dev.directory, "--as", "erp")
    for arguments in (("s.json",), ("e.json", "--right", "*")):
        done = tally("keys", "add", tmp_path / arguments[0], *arguments[1:], *home)
        assert done.code == 2
        assert "a key that signs needs --right" in done.err


def test_a_wrong_passphrase_is_one_line(tally: Any, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    new(tally, path)
    done = tally("keys", "show", path, "--check", TALLY_PASSPHRASE="wrong")
    assert done.code == 2
    assert "wrong passphrase" in done.err
    assert done.err.count("\n") == 1


def test_the_passphrase_may_lie_in_a_file(tally: Any, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    new(tally, path)
    (tmp_path / "secret").write_text("correct horse\n")
    assert tally("keys", "show", path, "--check", TALLY_PASSPHRASE_FILE=str(tmp_path / "secret")).code == 0
    done = tally("keys", "show", path, "--check", TALLY_PASSPHRASE_FILE=str(tmp_path / "none"))
    assert done.code == 2
    assert "cannot read the passphrase file" in done.err


def test_nobody_to_ask_for_a_passphrase(tally: Any, tmp_path: Path) -> None:
    done = tally("keys", "new", tmp_path / "k.json", "--purpose", "signer")
    assert done.code == 2
    assert "set TALLY_PASSPHRASE" in done.err
    assert not (tmp_path / "k.json").exists()


def test_a_missing_or_damaged_key_file(tally: Any, tmp_path: Path) -> None:
    assert "does not exist" in tally("keys", "show", tmp_path / "none.json").err
    (tmp_path / "bad.json").write_text("{}")
    done = tally("keys", "show", tmp_path / "bad.json")
    assert done.code == 2
    assert "not a whole key file" in done.err


def test_a_validator_key_is_replaced_by_vote_only(tally: Any, tmp_path: Path) -> None:
    new(tally, tmp_path / "v.json", "validator")
    done = tally("keys", "rotate", tmp_path / "v.json", "--new", tmp_path / "w.json", **SECRET)
    assert done.code == 2
    assert "gov propose validators" in done.err
    assert not (tmp_path / "w.json").exists()


def test_rotation_with_a_wrong_passphrase_makes_nothing(tally: Any, tmp_path: Path) -> None:
    new(tally, tmp_path / "old.json")
    done = tally("keys", "rotate", tmp_path / "old.json", "--new", tmp_path / "new.json", TALLY_PASSPHRASE="wrong")
    assert done.code == 2
    assert "wrong passphrase" in done.err
    assert not (tmp_path / "new.json").exists()


def test_a_key_of_another_purpose_signs_no_transaction(tally: Any, dev: DevNetwork) -> None:
    home = dev.directory
    path = home / "erp" / "keys" / "network.json"
    done = tally("tx", "submit", "--key", path, "--home", home, "--contract", "gov", "--method", "vote")
    assert done.code == 2
    assert "is a network key" in done.err


def test_who_acts_must_be_somebody_there(tally: Any, dev: DevNetwork, tmp_path: Path) -> None:
    command = ("credit", "assess", "00" * 32)
    assert "give --as, one of auditor, erp" in tally(*command, "--home", dev.directory).err
    stranger = tally(*command, "--home", dev.directory, "--as", "nobody")
    assert stranger.code == 2
    assert "has no member or party 'nobody'" in stranger.err
    empty = tally(*command, "--home", tmp_path, "--as", "erp")
    assert empty.code == 2
    assert "tally genesis dev" in empty.err
