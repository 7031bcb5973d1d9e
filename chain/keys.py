"""Key files: an Ed25519 seed encrypted at rest under a passphrase.

A key file is one line of canonical JSON (sorted keys, no spaces, a final newline)::

    {"cipher": {"name": "xsalsa20-poly1305", "nonce": hex, "text": hex}, "file": "tally/key",
     "kdf": {"memory": bytes, "name": "argon2id", "operations": n, "salt": hex},
     "public": hex, "purpose": "signer", "version": 1}

The passphrase is stretched with argon2id (RFC 9106) under the cost stored in the file; the sealed text holds
purpose and public key beside the seed, so that nobody can turn a signer's key file into a validator's by
editing the readable part. Purpose separation is DESIGN.md's "Who signs": a key serves one purpose. An encryption key
never signs: documents are sealed to its X25519 form (node/envelope.py).

`inspect` gives the public half without a passphrase, `load` the signing key. Files are written whole or not at
all, with mode 0600, and never over an existing key. Prompting is the CLI's business.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import nacl.bindings
import nacl.exceptions
import nacl.pwhash.argon2id
import nacl.secret
import nacl.utils

from chain.codec import encode
from chain.crypto import PUBLIC_KEY_SIZE, SEED_SIZE, SigningKey

PURPOSES: Final = ("network", "validator", "signer", "party", "encryption")
VERSION: Final = 1
MAX_FILE_SIZE: Final = 4096
"""Bytes; a key file has about 500."""

_FILE_TAG: Final = "tally/key"
_KDF_NAME: Final = "argon2id"
_CIPHER_NAME: Final = "xsalsa20-poly1305"
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")
_SALT_SIZE: Final = nacl.pwhash.argon2id.SALTBYTES
_NONCE_SIZE: Final = nacl.secret.SecretBox.NONCE_SIZE


class KeyFileError(Exception):
    """A key file that cannot be used; the message is one line that says what to do."""


class KdfCost(NamedTuple):
    """What one guess at a passphrase costs: argon2id passes over `memory` bytes."""

    operations: int
    memory: int


MODERATE: Final = KdfCost(nacl.pwhash.argon2id.OPSLIMIT_MODERATE, nacl.pwhash.argon2id.MEMLIMIT_MODERATE)
"""3 passes over 256 MiB: the default."""
INTERACTIVE: Final = KdfCost(nacl.pwhash.argon2id.OPSLIMIT_INTERACTIVE, nacl.pwhash.argon2id.MEMLIMIT_INTERACTIVE)
"""2 passes over 64 MiB: for development networks, whose passphrase lies beside the keys anyway."""

# The file says its own cost, and whoever altered the file must not be able to exhaust the machine with it.
_MIN_COST: Final = INTERACTIVE
_MAX_COST: Final = KdfCost(16, 1024 * 1024 * 1024)


class PublicHalf(NamedTuple):
    """What a key file shows without its passphrase."""

    purpose: str
    public: bytes


class _KeyFile(NamedTuple):
    purpose: str
    public: bytes
    cost: KdfCost
    salt: bytes
    nonce: bytes
    text: bytes


def named(purpose: str) -> str:
    """A key of a purpose, with its article: "a signer key", "an encryption key"."""
    return f"{'an' if purpose[:1] == 'e' else 'a'} {purpose} key"


def create(
    path: Path, passphrase: str, purpose: str, *, key: SigningKey | None = None, cost: KdfCost = MODERATE
) -> PublicHalf:
    """Write a key file and return its public half; without `key` a new one is made.

    Raises KeyFileError for an unknown purpose, an empty passphrase, or when the path exists already.
    """
    if purpose not in PURPOSES:
        raise KeyFileError(f"unknown key purpose {purpose!r}: use one of {', '.join(PURPOSES)}")
    signing_key = key or SigningKey.generate()
    _write(path, _seal(signing_key, passphrase, purpose, cost), replace=False)
    return PublicHalf(purpose, signing_key.public)


def inspect(path: Path) -> PublicHalf:
    """Return purpose and public key as the file states them (`load` is what proves them)."""
    stored = _read(path)
    return PublicHalf(stored.purpose, stored.public)


def load(path: Path, passphrase: str, *, purpose: str | None = None) -> SigningKey:
    """Open a key file. With `purpose`, a key made for another one is refused.

    Raises KeyFileError: missing, readable by others, damaged, wrong purpose, wrong passphrase.
    """
    stored = _read(path)
    if purpose is not None and stored.purpose != purpose:
        raise KeyFileError(f"{path} is {named(stored.purpose)} where {named(purpose)} is needed: give the right file")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"{path} is open to other users of this machine: run 'chmod 600 {path}'")
    try:
        plain = nacl.secret.SecretBox(_stretch(passphrase, stored.salt, stored.cost)).decrypt(
            stored.text, stored.nonce
        )
    except nacl.exceptions.CryptoError:
        raise KeyFileError(
            f"wrong passphrase for {path} (or the file was altered): check TALLY_PASSPHRASE, "
            "or restore the file from its backup"
        ) from None
    key = SigningKey(plain[-SEED_SIZE:])
    if plain != _plain(key, stored.purpose) or key.public != stored.public:
        raise KeyFileError(f"{path} was altered after it was made: restore it from its backup")
    return key


def change_passphrase(path: Path, old: str, new: str, *, cost: KdfCost = MODERATE) -> None:
    """Seal the same key under another passphrase, replacing the file in one step."""
    key = load(path, old)
    _write(path, _seal(key, new, inspect(path).purpose, cost), replace=True)


def passphrase_from_environment(environment: Mapping[str, str]) -> str | None:
    """Return TALLY_PASSPHRASE, else the content of the file TALLY_PASSPHRASE_FILE names, else None.

    Raises KeyFileError when that file cannot be read.
    """
    direct = environment.get("TALLY_PASSPHRASE")
    if direct:
        return direct
    named = environment.get("TALLY_PASSPHRASE_FILE")
    return passphrase_from_file(Path(named)) if named else None


def passphrase_from_file(path: Path) -> str:
    """Return a file's text without its trailing line end."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(
            f"cannot read the passphrase file {path} ({_reason(error)}): correct its path or its mode"
        ) from None
    return text.rstrip("\r\n")


def is_usable_public_key(public: bytes) -> bool:
    """Whether bytes are a public key that only its owner can sign for.

    ZIP215, right for agreement, also accepts keys of small order, under which anybody can make a signature;
    so they are kept out where keys come in (the genesis document, the registry's operators).
    """
    return len(public) == PUBLIC_KEY_SIZE and bool(nacl.bindings.crypto_core_ed25519_is_valid_point(public))


def _seal(key: SigningKey, passphrase: str, purpose: str, cost: KdfCost) -> bytes:
    salt = nacl.utils.random(_SALT_SIZE)
    nonce = nacl.utils.random(_NONCE_SIZE)
    box = nacl.secret.SecretBox(_stretch(passphrase, salt, cost))
    text = box.encrypt(_plain(key, purpose), nonce).ciphertext
    return _canonical_json(
        {
            "cipher": {"name": _CIPHER_NAME, "nonce": nonce.hex(), "text": text.hex()},
            "file": _FILE_TAG,
            "kdf": {
                "memory": cost.memory,
                "name": _KDF_NAME,
                "operations": cost.operations,
                "salt": salt.hex(),
            },
            "public": key.public.hex(),
            "purpose": purpose,
            "version": VERSION,
        }
    )


def _plain(key: SigningKey, purpose: str) -> bytes:
    """The sealed text: what the readable part says, then the seed as its last 32 bytes."""
    return encode(["tally/key", VERSION, purpose, key.public, key.seed])


def _stretch(passphrase: str, salt: bytes, cost: KdfCost) -> bytes:
    # The same passphrase typed on two keyboards may arrive composed or decomposed.
    secret = unicodedata.normalize("NFC", passphrase).encode()
    if not secret:
        raise KeyFileError("an empty passphrase protects nothing: set TALLY_PASSPHRASE")
    try:
        return nacl.pwhash.argon2id.kdf(
            nacl.secret.SecretBox.KEY_SIZE, secret, salt, opslimit=cost.operations, memlimit=cost.memory
        )
    except (MemoryError, RuntimeError, nacl.exceptions.CryptoError):
        raise KeyFileError(
            f"not enough memory to open the key: free {cost.memory // 2**20} MiB and try again"
        ) from None


def _canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _read(path: Path) -> _KeyFile:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except FileNotFoundError:
        raise KeyFileError(f"no key file at {path}: give its path, or make one with 'tally keys new'") from None
    except OSError as error:
        raise KeyFileError(
            f"cannot read the key file {path} ({_reason(error)}): correct its path or its owner"
        ) from None
    try:
        return _parse(data)
    except ValueError as error:
        raise KeyFileError(f"{path} is not a whole key file ({error}): restore it from its backup") from None


def _parse(data: bytes) -> _KeyFile:
    """The parts of a key file. Raises ValueError with the reason."""
    if len(data) > MAX_FILE_SIZE:
        raise ValueError(f"longer than {MAX_FILE_SIZE} bytes")
    try:
        whole = json.loads(data)
        canonical = _canonical_json(whole)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if canonical != data:
        raise ValueError("not in its canonical form")
    _fields(whole, "cipher", "file", "kdf", "public", "purpose", "version")
    kdf, cipher = whole["kdf"], whole["cipher"]
    _fields(kdf, "memory", "name", "operations", "salt")
    _fields(cipher, "name", "nonce", "text")
    if whole["file"] != _FILE_TAG or whole["version"] != VERSION:
        raise ValueError(f"not {_FILE_TAG} version {VERSION}")
    if kdf["name"] != _KDF_NAME or cipher["name"] != _CIPHER_NAME:
        raise ValueError("unknown encryption")
    if whole["purpose"] not in PURPOSES:
        raise ValueError("unknown purpose")
    cost = KdfCost(kdf["operations"], kdf["memory"])
    for value, low, high in zip(cost, _MIN_COST, _MAX_COST, strict=True):
        if type(value) is not int or not low <= value <= high:
            raise ValueError("passphrase cost out of bounds")
    return _KeyFile(
        whole["purpose"],
        _unhex(whole["public"], PUBLIC_KEY_SIZE),
        cost,
        _unhex(kdf["salt"], _SALT_SIZE),
        _unhex(cipher["nonce"], _NONCE_SIZE),
        _unhex(cipher["text"], None),
    )


def _fields(value: Any, *names: str) -> None:
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        raise ValueError(f"needs exactly the fields {', '.join(names)}")


def _unhex(value: Any, size: int | None) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError("a field is not lower-case hex")
    raw = bytes.fromhex(value)
    if size is not None and len(raw) != size:
        raise ValueError(f"a field has {len(raw)} bytes where {size} are needed")
    return raw


def _write(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file whole or not at all: a temporary file beside it, synced, then put in place in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)  # unlike a rename, fails when the path exists
        finally:
            Path(temporary).unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError:
        raise KeyFileError(f"{path} exists already: choose another path, no key is overwritten") from None
    except OSError as error:
        raise KeyFileError(
            f"cannot write the key file {path} ({_reason(error)}): correct the folder or free some space"
        ) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not text"
    return (error.strerror or type(error).__name__).lower()
