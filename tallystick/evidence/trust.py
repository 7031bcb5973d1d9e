"""What a verifier brings along, from a file of his own: never taken from the evidence.

A trust file is JSON, every part optional::

    {"block_hashes": {"1": {"21000000": "0x…"}},   public chain id → block number → hash, from a node you trust
     "senders": ["0x…"],                            accounts whose anchors count
     "bitcoin_blocks": {"800000": "0000…"},         height → block hash as explorers show it
     "tsa_roots": ["tsa.pem"],                      root certificates of time-stamp authorities, PEM or DER files
     "witnesses": {"witness.example/w1": "…64 hex…"},   names and Ed25519 keys of witnesses
     "ca_roots": ["ca.pem"],                        roots for signatures of persons and courts
     "crls": ["tsa.crl"]}                           revocation lists of either's issuers, PEM or DER files

Names of files are relative to the trust file.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from chain.anchor import Trusted

ADDRESS_SIZE: Final = 20
HASH_SIZE: Final = 32
MAX_TRUST_FILE: Final = 1024 * 1024
PARTS: Final = ("block_hashes", "senders", "bitcoin_blocks", "tsa_roots", "witnesses", "ca_roots", "crls")
_PEM: Final = re.compile(rb"-----BEGIN (CERTIFICATE|X509 CRL)-----(.*?)-----END \1-----", re.DOTALL)


_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class TrustError(ValueError):
    """A trust file that is none; ``code`` for programs, one line that says what to do."""

    def __init__(self, message: str, code: str = "BAD_TRUST_FILE") -> None:
        super().__init__(message)
        self.code = code


def load(path: Path | None, *, development: bool = False) -> Trusted:
    """What a trust file says; without one nothing outside the consortium is trusted.

    development: whether a development chain may stand in for a public one. Raises TrustError.
    """
    from chain.anchor import Trusted

    if path is None:
        return Trusted(development=development)
    value = _read(path)
    unknown = sorted(set(value) - set(PARTS))
    if unknown:
        raise TrustError(f"{path}: unknown part {unknown[0][:40]!r}; a trust file holds {', '.join(PARTS)}")
    try:
        return Trusted(
            evm_blocks={
                _number(chain): {_number(number): _hex(text, HASH_SIZE) for number, text in blocks.items()}
                for chain, blocks in value.get("block_hashes", {}).items()
            },
            evm_senders=frozenset(_hex(text, ADDRESS_SIZE) for text in value.get("senders", [])),
            bitcoin_blocks={
                _number(height): _hex(text, HASH_SIZE)[::-1]
                for height, text in value.get("bitcoin_blocks", {}).items()
            },
            tsa_roots=_certificates(path, value.get("tsa_roots", [])),
            witnesses={str(name): _hex(text, HASH_SIZE) for name, text in value.get("witnesses", {}).items()},
            ca_roots=_certificates(path, value.get("ca_roots", [])),
            crls=_certificates(path, value.get("crls", []), "revocation list", b"X509 CRL"),
            development=development,
        )
    except TrustError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise TrustError(f"{path} is no trust file ({error}): docs/evidence.md shows one") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TrustError(f"{path} cannot be read ({error.strerror}): give the trust file", "NO_TRUST_FILE") from None
    try:
        value = json.loads(data[: MAX_TRUST_FILE + 1], object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise TrustError(f"{path} is no trust file ({error}): docs/evidence.md shows one") from None
    if not isinstance(value, dict):
        raise TrustError(f"{path} is no trust file: it holds {', '.join(PARTS)}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _number(text: str) -> int:
    """Of its one spelling: "01" beside "1" would be one block with two hashes."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:20]!r} is no number of a chain or block: write plain digits")
    return int(text)


def _hex(text: Any, size: int) -> bytes:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no text of hexadecimal digits")
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != size:
        raise ValueError(f"{text[:20]!r} has not {2 * size} hexadecimal digits")
    return raw


def _certificates(
    trust: Path, names: Any, what: str = "certificate", label: bytes = b"CERTIFICATE"
) -> tuple[bytes, ...]:
    """DER certificates, or what else has this PEM label, of files beside the trust file. Raises TrustError."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TrustError(f"{trust}: {what}s are a list of file names")
    found: list[bytes] = []
    for name in names:
        try:
            data = (trust.parent / name).read_bytes()
            pems = [base64.b64decode(body) for found_label, body in _PEM.findall(data) if found_label == label]
        except (OSError, ValueError) as error:
            raise TrustError(f"{trust}: {what} {name} cannot be read ({error}): correct its name") from None
        if not pems and not data.startswith(b"\x30"):
            raise TrustError(f"{trust}: {name} holds no {what}, PEM or DER")
        found += pems or [data]
    return tuple(found)
