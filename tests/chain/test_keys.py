"""Key files: what they hide, what they prove, and what each kind of damage is answered with."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from chain import keys
from chain.crypto import SigningKey, verify

PASSPHRASE = "correct horse battery staple"
SEED = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "signer.json"
    keys.create(target, PASSPHRASE, "signer", key=SigningKey.from_seed(SEED), cost=keys.INTERACTIVE)
    return target


def altered(path: Path, **changes: Any) -> None:
    """Rewrite a key file's fields in its canonical form; `kdf__memory` reaches into a part."""
    whole = json.loads(path.read_bytes())
    for name, value in changes.items():
        part, _, field = name.partition("__")
        if field:
            whole[part][field] = value
        else:
            whole[part] = value
    path.write_bytes(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode() + b"\n")


def test_a_key_comes_back_as_it_was_made(path: Path) -> None:
    key = keys.load(path, PASSPHRASE, purpose="signer")
    assert key.seed == SEED
    assert keys.inspect(path) == keys.PublicHalf("signer", key.public)
    assert verify(key.public, b"message", key.sign(b"message"))


def test_a_new_key_is_random_and_its_seed_is_not_in_the_file(tmp_path: Path) -> None:
    halves = [keys.create(tmp_path / name, PASSPHRASE, "network", cost=keys.INTERACTIVE) for name in ("a", "b")]
    assert halves[0].public != halves[1].public
    seed = keys.load(tmp_path / "a", PASSPHRASE).seed
    assert seed.hex() not in (tmp_path / "a").read_text()


def test_the_default_cost_is_moderate_and_stands_in_the_file(tmp_path: Path) -> None:
    keys.create(tmp_path / "key.json", PASSPHRASE, "party")
    kdf = json.loads((tmp_path / "key.json").read_bytes())["kdf"]
    assert (kdf["name"], kdf["operations"], kdf["memory"]) == ("argon2id", 3, 256 * 2**20)
    assert keys.load(tmp_path / "key.json", PASSPHRASE).public


def test_files_are_private_and_leave_nothing_beside_them(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_a_key_is_never_overwritten(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(keys.KeyFileError, match="exists already: choose another path"):
        keys.create(path, "other", "signer", cost=keys.INTERACTIVE)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_wrong_passphrase_is_one_line_that_says_what_to_do(path: Path) -> None:
    with pytest.raises(keys.KeyFileError, match=r"wrong passphrase .* check TALLY_PASSPHRASE") as caught:
        keys.load(path, PASSPHRASE + " ")
    assert "\n" not in str(caught.value)


def test_the_same_passphrase_typed_decomposed_opens_the_key(tmp_path: Path) -> None:
    keys.create(tmp_path / "k", "caf\u00e9", "party", cost=keys.INTERACTIVE)
    assert keys.load(tmp_path / "k", "cafe\u0301").public


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(keys.KeyFileError, match="empty passphrase"):
        keys.create(tmp_path / "k", "", "party", cost=keys.INTERACTIVE)
    assert not (tmp_path / "k").exists()


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(keys.KeyFileError, match=r"no key file at .* 'tally keys new'"):
        keys.load(tmp_path / "none.json", PASSPHRASE)


def test_a_key_for_another_purpose_is_refused_by_name(path: Path) -> None:
    with pytest.raises(keys.KeyFileError, match="is a signer key where a validator key is needed"):
        keys.load(path, PASSPHRASE, purpose="validator")


def test_an_unknown_purpose_is_refused(tmp_path: Path) -> None:
    with pytest.raises(keys.KeyFileError, match="unknown key purpose 'root'"):
        keys.create(tmp_path / "k", PASSPHRASE, "root")


def test_a_file_other_users_can_read_is_refused(path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(keys.KeyFileError, match="run 'chmod 600"):
        keys.load(path, PASSPHRASE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kdf__memory": 2**40}, "cost out of bounds"),
        ({"kdf__memory": 8192}, "cost out of bounds"),
        ({"kdf__operations": 10**6}, "cost out of bounds"),
        ({"kdf__operations": True}, "cost out of bounds"),
        ({"kdf__name": "scrypt"}, "unknown encryption"),
        ({"kdf__salt": "00"}, "1 bytes where 16"),
        ({"cipher__nonce": "AA" * 24}, "not lower-case hex"),
        ({"public": 7}, "not lower-case hex"),
        ({"purpose": ["signer"]}, "unknown purpose"),
        ({"version": 2}, "not tally/key version 1"),
        ({"kdf": []}, "needs exactly the fields"),
        ({"extra": 1}, "needs exactly the fields"),
    ],
)
def test_a_damaged_field_is_refused_before_any_work(path: Path, changes: dict[str, Any], reason: str) -> None:
    altered(path, **changes)
    with pytest.raises(keys.KeyFileError, match=f"not a whole key file .*{reason}.* from its backup"):
        keys.load(path, PASSPHRASE)


def test_the_readable_part_cannot_be_edited(path: Path) -> None:
    original = path.read_bytes()
    altered(path, purpose="validator")
    with pytest.raises(keys.KeyFileError, match="was altered after it was made"):
        keys.load(path, PASSPHRASE, purpose="validator")
    path.write_bytes(original)
    altered(path, public=SigningKey.from_seed(bytes(32)).public.hex())
    with pytest.raises(keys.KeyFileError, match="was altered after it was made"):
        keys.load(path, PASSPHRASE)


def test_every_truncation_and_a_flipped_byte_anywhere_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(keys.KeyFileError):
            keys.inspect(path)
    text = json.loads(data)["cipher"]["text"]
    flipped = ("0" if text[0] != "0" else "1") + text[1:]
    path.write_bytes(data.replace(text.encode(), flipped.encode()))
    with pytest.raises(keys.KeyFileError, match="wrong passphrase"):
        keys.load(path, PASSPHRASE)


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"[" * 4000, b"{}\n", b"null\n", b" " * 5000])
def test_what_is_no_key_file_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(keys.KeyFileError, match="is not a whole key file"):
        keys.load(path, PASSPHRASE)


def test_changing_the_passphrase_keeps_the_key(path: Path) -> None:
    keys.change_passphrase(path, PASSPHRASE, "new", cost=keys.INTERACTIVE)
    assert keys.load(path, "new", purpose="signer").seed == SEED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(keys.KeyFileError, match="wrong passphrase"):
        keys.load(path, PASSPHRASE)


def test_the_passphrase_comes_from_the_variable_or_the_file_it_names(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("from file\n")
    assert keys.passphrase_from_environment({}) is None
    assert keys.passphrase_from_environment({"TALLY_PASSPHRASE": "direct"}) == "direct"
    assert keys.passphrase_from_environment({"TALLY_PASSPHRASE_FILE": str(secret)}) == "from file"
    both = {"TALLY_PASSPHRASE": "direct", "TALLY_PASSPHRASE_FILE": str(secret)}
    assert keys.passphrase_from_environment(both) == "direct"
    with pytest.raises(keys.KeyFileError, match="cannot read the passphrase file"):
        keys.passphrase_from_environment({"TALLY_PASSPHRASE_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("public", "usable"),
    [
        (SigningKey.from_seed(SEED).public, True),
        (bytes(32), False),  # a point of order 4
        (b"\x01" + bytes(31), False),  # the identity
        (b"\xff" * 32, False),  # not canonical
        (SigningKey.from_seed(SEED).public[:31], False),
    ],
)
def test_keys_anybody_could_sign_for_are_told_apart(public: bytes, usable: bool) -> None:
    assert keys.is_usable_public_key(public) is usable
