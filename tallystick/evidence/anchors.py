"""The anchors of a bundle: checkpoints with what shows them outside, and the paths that lead to them.

A folder ``anchors/NN`` holds ``checkpoint.txt`` and one of

======================  ======================================================================================
checkpoint.txt.ots      an OpenTimestamps proof that the stock client takes, and ``headers-HEIGHT.bin``: the Bitcoin
                        block's header and any that follow it, 80 bytes each
checkpoint.txt.tsr      an RFC 3161 time-stamp response
checkpoint.note         a C2SP note with witnesses' cosignatures
evm.proof               the proof of chain/evm.py
======================  ======================================================================================

``anchors/paths.json``, paths in hex, nearest sibling first::

    {"inclusion": [{"anchor", "height", "path"}], "consistency": [{"older", "newer", "path"}]}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from chain import evm
from chain.anchor import Existed, verify_anchor
from chain.checkpoint import Checkpoint, CheckpointError
from chain.verification import VerificationError
from tallystick.evidence import manifest

if TYPE_CHECKING:
    from chain.anchor import Trusted

PATHS: Final = "anchors/paths.json"
CHECKPOINT: Final = "checkpoint.txt"
FILES: Final = {
    "ots": "checkpoint.txt.ots",
    "rfc3161": "checkpoint.txt.tsr",
    "witness": "checkpoint.note",
    "evm": "evm.proof",
}
PUBLIC: Final = ("evm", "ots", "rfc3161")
"""Kinds whose time is somebody's outside: a witness only says that history was not forked."""
_LIBRARIES: Final = {"evm": ("Crypto", "coincurve"), "rfc3161": ("cryptography",)}
"""What is not in the light install."""
_HEADERS: Final = re.compile(r"headers-(0|[1-9][0-9]{0,8})\.bin", re.ASCII)
_HEADER: Final = 80
_ROWS: Final = {
    "inclusion": {"anchor": str, "height": int, "path": list},
    "consistency": {"older": str, "newer": str, "path": list},
}


@dataclass(frozen=True)
class AnchorFile:
    """One anchor, its form read. proof: as `chain.anchor.verify_anchor` takes it."""

    name: str
    kind: str
    checkpoint: Checkpoint
    proof: bytes


@dataclass(frozen=True)
class Outside:
    """What an anchor came to: ``existed``, or why nothing is shown (``unanchored``), or what is wrong (``false``)."""

    anchor: AnchorFile
    existed: Existed | None
    unanchored: str = ""
    false: str = ""


def files_of(name: str, kind: str, checkpoint: Checkpoint, proof: bytes) -> dict[str, bytes]:
    """The files of one anchor; ``proof`` as the chain's confirmation keeps it. Raises VerificationError."""
    folder = f"anchors/{name}"
    found = {f"{folder}/{CHECKPOINT}": checkpoint.body}
    if kind == "ots":
        from chain.ots import OtsProof

        stamp = OtsProof.decode(proof)
        found[f"{folder}/headers-{stamp.height}.bin"] = b"".join(stamp.headers)
        proof = stamp.file
    if kind not in FILES:
        raise VerificationError(f"unknown kind of anchor {kind!r}: use a newer release of tally")
    return {**found, f"{folder}/{FILES[kind]}": proof}


def read(files: Mapping[str, bytes]) -> list[AnchorFile]:
    """The anchors of a bundle in order. Raises VerificationError where a folder holds anything else."""
    folders: dict[str, dict[str, bytes]] = {}
    for path, data in sorted(files.items()):
        _, name, *rest = path.split("/")
        if path != PATHS:
            folders.setdefault(name, {})["/".join(rest)] = data
    return [_anchor(name, folder) for name, folder in folders.items()]


def paths(files: Mapping[str, bytes]) -> dict[str, list[dict[str, Any]]]:
    """anchors/paths.json; empty where the bundle has none. Raises VerificationError."""
    if PATHS not in files:
        return {"inclusion": [], "consistency": []}
    found: Any = manifest.from_json(files[PATHS], PATHS)
    if not isinstance(found, dict) or found.keys() != _ROWS.keys():
        raise VerificationError(f"{PATHS} is malformed: ask for the bundle again")
    for part, types in _ROWS.items():
        for row in found[part]:
            if {name: type(value) for name, value in row.items()} != types:
                raise VerificationError(f"{PATHS}: a row of {part} is malformed: ask for the bundle again")
    return found


def check(anchor: AnchorFile, network_id: bytes, trusted: Trusted) -> Outside:
    """Hold an anchor against what the verifier trusts."""
    if anchor.checkpoint.network_id != network_id:
        return Outside(anchor, None, false="its checkpoint is of another consortium than the given genesis hash")
    missing = [name for name in _LIBRARIES.get(anchor.kind, ()) if find_spec(name) is None]
    if missing:
        said = f"not checked: pip install 'tallystick[anchor]' ({missing[0]} is missing)"
        return Outside(anchor, None, unanchored=said)
    try:
        return Outside(anchor, verify_anchor(anchor.kind, anchor.checkpoint, anchor.proof, trusted))
    except evm.UnanchoredError as error:
        return Outside(anchor, None, unanchored=str(error))
    except ValueError as error:  # each kind has its own: all are of this class
        if "DEVELOPMENT_" in str(error) or str(getattr(error, "code", "")).startswith("DEVELOPMENT_"):
            return Outside(anchor, None, unanchored=str(error))
        return Outside(anchor, None, false=str(error))


def _anchor(name: str, folder: Mapping[str, bytes]) -> AnchorFile:
    kinds = [kind for kind, file in FILES.items() if file in folder]
    if len(kinds) != 1 or CHECKPOINT not in folder:
        raise VerificationError(f"anchors/{name} holds no checkpoint with one proof")
    kind = kinds[0]
    proof, rest = folder[FILES[kind]], set(folder) - {CHECKPOINT, FILES[kind]}
    if kind == "ots":
        proof = _stamp(name, proof, folder, rest)
    elif rest:
        raise VerificationError(f"anchors/{name}/{min(rest)} is no part of an anchor")
    try:
        return AnchorFile(name, kind, Checkpoint.parse(folder[CHECKPOINT]), proof)
    except CheckpointError as error:
        raise VerificationError(f"anchors/{name}/{CHECKPOINT}: {error}") from None


def _stamp(name: str, file: bytes, folder: Mapping[str, bytes], rest: set[str]) -> bytes:
    from chain.ots import OtsProof

    matches = [match for match in map(_HEADERS.fullmatch, rest) if match is not None]
    if len(rest) != 1 or len(matches) != 1:
        raise VerificationError(f"anchors/{name} holds no Bitcoin headers beside its stamp, or more than those")
    headers = folder[matches[0][0]]
    cut = tuple(headers[place : place + _HEADER] for place in range(0, len(headers), _HEADER))
    return OtsProof(file, int(matches[0][1]), cut).encode()
