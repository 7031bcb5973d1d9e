"""Segment files: documents of the member at rest, with all that the index says about them.

``own/<folder>/<number>`` is: 16 bytes of magic, 4 bytes of length (big-endian), the sealed header, the sealed
documents one after the other. The header says which deposit each document is in, and the deposit's key; so the index
can be made again out of the segments. A segment is written once and whole, and never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from chain.codec import CodecError, decode, encode
from node.documents import DocumentError
from node.vault.files import Files
from node.vault.keyring import VaultKey

FOLDER: Final = "own"
A_FOLDER: Final = 4096
"""Segments of one folder."""
MAX_SEGMENT: Final = 32 * 1024 * 1024
"""Bytes of documents; one larger document has a segment of its own."""
MAX_HEADER: Final = 16 * 1024 * 1024

_MAGIC: Final = b"tally/segment/1\n"
_FIRST_READ: Final = 64 * 1024


class Row(NamedTuple):
    """One document of a segment. size: bytes at rest, 0 where the document itself lies in another segment;
    length: of the document; deposit: which of the header's deposits it is in; place: its place there."""

    name: bytes
    size: int
    length: int
    deposit: int
    place: int


class DepositRow(NamedTuple):
    """A deposit that documents of a segment are in. key: M; kinds: its set of kinds; number: on the chain, where the
    documents were taken back from custodians, else None."""

    id: bytes
    key: bytes
    kinds: tuple[str, ...]
    number: int | None


class Header(NamedTuple):
    """What a segment says about itself. start: where its first document begins."""

    deposits: tuple[DepositRow, ...]
    rows: tuple[Row, ...]
    start: int


def segment_name(number: int) -> str:
    """Path of a segment in the store."""
    return f"{folder_name(number // A_FOLDER)}/{number:010d}"


def folder_name(folder: int) -> str:
    """Path of the folder of ``A_FOLDER`` segments."""
    return f"{FOLDER}/{folder:06d}"


def write_segment(
    files: Files,
    key: VaultKey,
    number: int,
    deposits: Sequence[DepositRow],
    rows: Sequence[Row],
    sealed: Sequence[bytes],
) -> int:
    """Write it, durable when this returns; where its first document begins. Raises DocumentError."""
    content = [[list(row) for row in deposits], [list(row) for row in rows]]
    header = key.seal("segment", number.to_bytes(8, "big"), encode(["tally/segment", 1, *content]))
    front = _MAGIC + len(header).to_bytes(4, "big") + header
    files.write(segment_name(number), front, *sealed)
    return len(front)


def read_header(files: Files, key: VaultKey, number: int) -> Header:
    """What a segment says about itself. Raises DocumentError DOCUMENT_MISSING, DOCUMENT_DAMAGED, STORE_FAILED."""
    name = segment_name(number)
    front = files.read(name, 0, _FIRST_READ)
    base = len(_MAGIC) + 4
    size = int.from_bytes(front[len(_MAGIC) : base], "big")
    if front[: len(_MAGIC)] != _MAGIC or size > MAX_HEADER:
        raise _damaged(files, name)
    if base + size > len(front):
        front += files.read(name, len(front), base + size - len(front))
    plain = key.open_sealed("segment", number.to_bytes(8, "big"), front[base : base + size])
    if plain is None:
        raise _damaged(files, name)
    try:
        _, _, deposits, rows = _content(plain)
        return Header(
            tuple(DepositRow(identity, secret, tuple(kinds), known) for identity, secret, kinds, known in deposits),
            tuple(Row(*row) for row in rows),
            base + size,
        )
    except (CodecError, TypeError, ValueError):
        raise _damaged(files, name) from None


def _content(plain: bytes) -> list[Any]:
    found: Any = decode(plain, max_size=MAX_HEADER)
    return list(found)


def _damaged(files: Files, name: str) -> DocumentError:
    said = f"{name} in {files.url} is damaged: restore it from a backup, or run `tally custody restore`"
    return DocumentError("DOCUMENT_DAMAGED", said)
