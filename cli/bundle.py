"""Proof files and bundles of them: reading, checking, and what they prove in plain words.

A bundle is a folder of proof files, or one file of canonical bytes::

    {"format": ["tally/bundle", 1], "proofs": [proof bytes, …]}

``anchors`` may stand beside ``proofs``: ``[place in proofs, size, root, public-chain proof, path]``, which ties the
block of that proof to a public chain. Nothing here asks a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.errors import UNVERIFIED, CliError
from cli.output import moment, read_file

if TYPE_CHECKING:
    from chain.anchor import Trusted
    from chain.verification import Verdict
    from tallystick.headers import HeaderChain

FORMAT: Final = ["tally/bundle", 1]
MAX_BUNDLE: Final = 64 * 1024 * 1024
ANOTHER: Final = (
    "this proof is from another consortium than --genesis says: its validators are not yours, so it proves nothing "
    "to you; check the hash, or ask who gave you the file"
)


@dataclass(frozen=True)
class Item:
    """One proof of a file or bundle: where it is from, its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class AnchorItem:
    """What ties the block of proof number ``place`` to a public chain; see the module."""

    place: int
    size: int
    root: bytes
    proof: bytes
    path: tuple[bytes, ...]


def pack(proofs: Iterable[bytes], anchors: Iterable[AnchorItem] = ()) -> bytes:
    """The canonical bytes of a bundle."""
    from chain.codec import encode

    whole: dict[str, Any] = {"format": FORMAT, "proofs": list(proofs)}
    rows = [[item.place, item.size, item.root, item.proof, list(item.path)] for item in anchors]
    return encode({**whole, "anchors": rows} if rows else whole)


def open_path(path: Path) -> tuple[list[Item], list[AnchorItem]]:
    """The proofs of a file or folder. Raises CliError where there is none or the bundle is damaged."""
    if path.is_dir():
        files = sorted(item for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
        if not files:
            raise _unproved(f"{path} holds no proof: give the folder that the bundle was unpacked to")
        items: list[Item] = []
        anchors: list[AnchorItem] = []
        for file in files:
            more, ties = _open_file(file)
            anchors += [AnchorItem(tie.place + len(items), tie.size, tie.root, tie.proof, tie.path) for tie in ties]
            items += more
        return items, anchors
    return _open_file(path)


def check(item: Item, network_id: bytes, file: bytes | None = None, headers: HeaderChain | None = None) -> Verdict:
    """What one proof or disclosure proves; ``file``: what is said to be a disclosed record's raw file, ``headers``:
    those that compact proofs are checked with. Raises CliError, one line that names the proof and what fails."""
    from chain.verification import VerificationError

    try:
        if disclosed(item):
            from chain.disclosure import verify_disclosure

            return verify_disclosure(item.data, lambda proof: _proved(proof, network_id, headers), file)
        return _proved(item.data, network_id, headers)
    except VerificationError as error:
        if "another consortium than the given genesis hash" in str(error):
            raise _unproved(f"{item.name}: {ANOTHER}", "ANOTHER_CONSORTIUM") from None
        raise _unproved(f"{item.name}: {error}") from None


def _proved(data: bytes, network_id: bytes, headers: HeaderChain | None) -> Verdict:
    """What a proof proves: a compact one by the headers, a whole one by itself, and by the headers besides."""
    from chain.verification import compact, is_compact, verify_compact, verify_proof

    if not is_compact(data):
        verdict = verify_proof(data, network_id)
        if headers is not None and verdict.height <= headers.height:
            verify_compact(compact(data), network_id, headers.header)  # certified both: a fork would show here
        return verdict
    if headers is None:
        said = "a compact proof is checked with headers: add --headers FILE (`tally headers sync FILE` makes it)"
        raise _unproved(said, "NEEDS_HEADERS")
    return verify_compact(data, network_id, headers.header)


def disclosed(item: Item) -> bool:
    """Whether an item is a disclosure, by what it says of itself. Raises CliError for a sealed one."""
    from chain.codec import CodecError, decode

    try:
        value = decode(item.data, max_size=MAX_BUNDLE)
    except CodecError:
        return False
    form = value.get("format") if isinstance(value, Mapping) else None
    if form == ["tally/sealed_disclosure", 1]:
        said = f"{item.name} is sealed: open it with `tally record open FILE --key ENCRYPTION_KEY`"
        raise CliError(said, code="SEALED_DISCLOSURE", exit_code=UNVERIFIED)
    return bool(form == ["tally/disclosure", 1])


def check_anchor(tie: AnchorItem, items: list[Item], network_id: bytes, known: Trusted) -> dict[str, Any]:
    """What an anchor of a bundle proves: a public time for the block of its proof. Raises CliError."""
    from chain.anchor import Anchor
    from chain.block import Header
    from chain.certificate import Certificate
    from chain.checkpoint import Checkpoint
    from chain.codec import CodecError, decode
    from chain.evm import EvmProof, UnanchoredError, VerificationError, decode_header

    if not 0 <= tie.place < len(items):
        raise _unproved("an anchor of the bundle names a proof that is not in it")
    item = items[tie.place]
    try:
        proof = decode(item.data)
        if disclosed(item):
            proof = decode(proof["proof"])
        header = Header.decode(proof["header"])
        certificate = Certificate.from_value(proof["certificate"])
        anchor = Anchor(Checkpoint(network_id, tie.size, tie.root), "evm", tie.proof)
        if not anchor.covers(header.height, header.digest, certificate.hash, tie.path):
            raise _unproved(f"{item.name}: its block {header.height} is not in the anchored log")
        found = anchor.verify(network_id, known)
        public = EvmProof.decode(tie.proof)
    except UnanchoredError as error:
        raise _unproved(f"{item.name}: {error}: put it into the --trust file", "NO_TRUSTED_BLOCK") from None
    except (VerificationError, CodecError, KeyError, TypeError, ValueError) as error:
        raise _unproved(f"{item.name}: its anchor does not stand: {error}") from None
    return {
        "proof": item.name,
        "height": header.height,
        "chain_id": public.chain_id,
        "block_number": found.block,
        "block_hash": decode_header(public.header).hash,
        "time": found.time,
        "note": found.note,
        "text": f"block {header.height} stood on public chain {public.chain_id} no later than "
        f"{moment(found.time * 1000)}" + (f" ({found.note})" if found.note else ""),
    }


def _open_file(path: Path) -> tuple[list[Item], list[AnchorItem]]:
    from chain.codec import CodecError, decode

    data = read_file(path, MAX_BUNDLE)
    try:
        value = decode(data, max_size=MAX_BUNDLE)
    except CodecError as error:
        raise _unproved(f"{path} is no proof ({error}): give the file as it was exported") from None
    if not isinstance(value, Mapping) or value.get("format") != FORMAT:
        return [Item(str(path), data)], []
    proofs = value.get("proofs")
    if not isinstance(proofs, list) or not proofs or not all(type(proof) is bytes for proof in proofs):
        raise _unproved(f"{path} is a bundle without proofs: give the file as it was exported")
    if set(value) - {"format", "proofs", "anchors"}:
        raise _unproved(f"{path} is a bundle of a later release: update this program")
    items = [Item(f"{path} proof {number}", proof) for number, proof in enumerate(proofs, 1)]
    anchors = [_anchor_row(row) for row in _rows(value.get("anchors", []))]
    if None in anchors:
        raise _unproved(f"{path}: its anchors are malformed: give the file as it was exported")
    return items, [item for item in anchors if item is not None]


def _rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _anchor_row(row: Any) -> AnchorItem | None:
    match row:
        case [int(place), int(size), bytes(root), bytes(proof), list(path)] if all(type(p) is bytes for p in path):
            return AnchorItem(place, size, root, proof, tuple(path))
    return None


def _unproved(message: str, code: str = "NOT_PROVED") -> CliError:
    return CliError(message, code=code, exit_code=UNVERIFIED)
