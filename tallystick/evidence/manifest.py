"""The bundle's list of its files, and the claimant's signature over it.

``manifest.json`` (canonical: sorted keys, two spaces, UTF-8, a newline at the end)::

    {"format": "tally/evidence/1", "network_id": hex, "height": block of the states, "claimant": member id,
     "key": hex of the claimant's signer key, "files": [{"name", "size", "sha256"}, … sorted by name]}

``manifest.sig`` is the raw Ed25519 signature (64 bytes) over the bytes of manifest.json, so that openssl checks it.
``SHA256SUMS`` is what ``sha256sum -c`` reads: every file but itself and the two of the manifest stands in both lists,
manifest.json in SHA256SUMS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from chain.crypto import SigningKey, sha256
from chain.verification import VerificationError

FORMAT: Final = "tally/evidence/1"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
SUMS: Final = "SHA256SUMS"
MAX_JSON: Final = 32 * 1024 * 1024
OWN: Final = frozenset({MANIFEST, SIGNATURE, SUMS})
_PARTS: Final = {"format", "network_id", "height", "claimant", "key", "files"}


def to_json(value: Any) -> bytes:
    """The one JSON spelling of a value in a bundle."""
    return (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def from_json(data: bytes, what: str) -> Any:
    """The value of JSON in its one spelling. Raises VerificationError: two readers may not see two values."""
    value = loads(data, what)
    if to_json(value) != data:
        raise VerificationError(f"{what} is not in its one spelling: it was edited after the export")
    return value


def loads(data: bytes, what: str) -> Any:
    """The value of JSON of at most MAX_JSON bytes. Raises VerificationError."""
    if len(data) > MAX_JSON:
        raise VerificationError(f"{what} has more than {MAX_JSON} bytes: no bundle's has")
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError):
        raise VerificationError(f"{what} is not JSON: the bundle is damaged, ask for it again") from None


def seal(
    files: Mapping[str, bytes], key: SigningKey, *, network_id: bytes, height: int, claimant: str
) -> dict[str, bytes]:
    """The files with manifest, signature and checksums made anew: what `archive.pack` takes."""
    content = {name: data for name, data in files.items() if name not in OWN}
    manifest = to_json(
        {
            "format": FORMAT,
            "network_id": network_id.hex(),
            "height": height,
            "claimant": claimant,
            "key": key.public.hex(),
            "files": rows(content),
        }
    )
    whole = {**content, MANIFEST: manifest}
    return {**whole, SUMS: sums(whole), SIGNATURE: key.sign(manifest)}


def rows(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The manifest's rows for files."""
    return [
        {"name": name, "size": len(files[name]), "sha256": sha256(files[name]).hex()}
        for name in sorted(files)
        if name not in OWN
    ]


def sums(files: Mapping[str, bytes]) -> bytes:
    """SHA256SUMS for files: every one but itself and the signature, which comes after it."""
    listed = sorted(name for name in files if name not in (SUMS, SIGNATURE))
    return "".join(f"{sha256(files[name]).hex()}  {name}\n" for name in listed).encode()


def read(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The manifest, checked for form. Raises VerificationError."""
    if MANIFEST not in files:
        raise VerificationError("the bundle has no manifest.json: it is not whole, ask for it again")
    found: Any = from_json(files[MANIFEST], MANIFEST)
    if not isinstance(found, dict) or found.get("format") != FORMAT or found.keys() != _PARTS:
        raise VerificationError(f"manifest.json is not a {FORMAT}: use a newer release of tally, or ask again")
    texts = all(type(found[part]) is str for part in ("network_id", "claimant", "key"))
    if not texts or type(found["height"]) is not int or type(found["files"]) is not list:
        raise VerificationError("manifest.json is malformed: ask for the bundle again")
    return found
