"""What nodes say to each other on the custody channel: numbered requests, and one reply to each.

Everything is canonical (chain.codec), tagged and capped before it is looked at. A message is form only: who may have
what is decided in node/custody/server.py, and whether what came is true in node/custody/puller.py.

    request  ["tally/custody_request", 1, number, kind, [fields …]]
    reply    ["tally/custody_reply", 1, number, kind, [fields …]]

A piece is a range of a deposit's copies: it begins inside one of them and may go on into those that follow, so that
small documents do not cost a message each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias

from chain.codec import CodecError, decode, encode, is_tagged
from chain.crypto import HASH_SIZE
from node.envelope import CHUNK, MAX_KEY_LIST

TAG_REQUEST: Final = "tally/custody_request"
TAG_REPLY: Final = "tally/custody_reply"
VERSION: Final = 1
MAX_PIECE: Final = 180 * 1024
"""Bytes of copies in one reply; the frame around them stays below 192 KiB."""
MAX_MANIFEST: Final = 160 * 1024
MAX_FRAME: Final = MAX_KEY_LIST + 4096
"""Bytes of a message: of all, only a key list may be longer than 192 KiB."""
MAX_VERSIONS: Final = 4096
MAX_ITEMS: Final = 2**15
"""Values in one message: MAX_VERSIONS rows, or a chunk and its path for each of 512 objects, are the most."""
MAX_PATH: Final = 64
MAX_ID: Final = 64
MAX_CODE: Final = 40
MAX_TEXT: Final = 300


class MessageError(ValueError):
    """Bytes that are no message of this channel; one line."""


@dataclass(frozen=True, slots=True)
class GetManifest:
    """Which objects are in a deposit, as ``holder`` has them?"""

    chain: str
    deposit: int
    holder: str


@dataclass(frozen=True, slots=True)
class GetKeys:
    """The deposit's newest key list, please."""

    chain: str
    deposit: int


@dataclass(frozen=True, slots=True)
class GetPiece:
    """At most ``length`` bytes of ``holder``'s copies from ``offset`` in object number ``index`` on, please."""

    chain: str
    deposit: int
    holder: str
    index: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class GetVersions:
    """From deposit number ``start`` on: which key lists are held, and of which version?"""

    chain: str
    start: int


@dataclass(frozen=True, slots=True)
class PutKeys:
    """The owner's newer key list of a deposit: keep it in place of the one held."""

    chain: str
    deposit: int
    keys: bytes


@dataclass(frozen=True, slots=True)
class Locate:
    """Where is the object of this name, as you can serve it?"""

    chain: str
    name: bytes


@dataclass(frozen=True, slots=True)
class Prove:
    """One chunk of each of ``holder``'s copies, chosen by ``seed`` (32 bytes), from object ``start`` on, please."""

    chain: str
    deposit: int
    holder: str
    start: int
    seed: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """A deposit's manifest (node.envelope.Manifest) in canonical bytes."""

    manifest: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """A key list, as its owner signed it."""

    keys: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of copies, one after another."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Versions:
    """(deposit, version) of key lists held, ascending; go on at ``next``, which is -1 at the end."""

    rows: tuple[tuple[int, int], ...]
    next: int


@dataclass(frozen=True, slots=True)
class Place:
    """An object stands in a deposit as number ``index``: its copy has ``size`` bytes under ``root``, and ``path``
    leads from that entry to the root that the chain has for ``holder``."""

    deposit: int
    holder: str
    index: int
    size: int
    root: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Chunks:
    """(chunk, its path to the root of the copy) of the objects from ``start`` on, as many as fit."""

    rows: tuple[tuple[bytes, tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True)
class Done:
    """It was done as asked."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not done: an UPPER_SNAKE code and one line that says what to do."""

    code: str
    message: str


Request: TypeAlias = GetManifest | GetKeys | GetPiece | GetVersions | PutKeys | Locate | Prove
Reply: TypeAlias = Listing | Keys | Piece | Versions | Place | Chunks | Done | Refused

Check: TypeAlias = Callable[[Any], bool]


def pack_request(number: int, request: Request) -> bytes:
    """Canonical bytes of a request under the asker's number."""
    return _pack(TAG_REQUEST, number, request)


def pack_reply(number: int, reply: Reply) -> bytes:
    """Canonical bytes of the reply to the request of that number."""
    return _pack(TAG_REPLY, number, reply)


def unpack(data: bytes) -> tuple[int, Request | Reply]:
    """The number and message of canonical bytes: form only. Raises MessageError."""
    try:
        value = decode(data, max_size=MAX_FRAME, max_items=MAX_ITEMS)
    except CodecError as error:
        raise MessageError(str(error)) from None
    for tag, shapes in ((TAG_REQUEST, _REQUESTS), (TAG_REPLY, _REPLIES)):
        if is_tagged(value, tag, VERSION, 5):
            return _read(value, shapes)
    raise MessageError("not a message of the custody channel")


def _pack(tag: str, number: int, message: Request | Reply) -> bytes:
    values = [getattr(message, field.name) for field in fields(message)]
    return encode([tag, VERSION, number, type(message).__name__, values])


def _read(value: list[Any], shapes: dict[str, tuple[type, tuple[Check, ...]]]) -> tuple[int, Request | Reply]:
    _, _, number, kind, values = value
    if not _count(number) or type(kind) is not str or kind not in shapes:
        raise MessageError("a custody message of no known kind")
    made, checks = shapes[kind]
    if type(values) is not list or len(values) != len(checks):
        raise MessageError(f"{kind} has {len(checks)} fields")
    for field, check, item in zip(fields(made), checks, values, strict=True):
        if not check(item):
            raise MessageError(f"{kind}.{field.name} is not as it must be")
    message: Request | Reply = made(*(_frozen(item) for item in values))
    return number, message


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if type(value) is list else value


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _id(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_ID


def _hash(value: Any) -> bool:
    return type(value) is bytes and len(value) == HASH_SIZE


def _length(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_PIECE


def _keys(value: Any) -> bool:
    return type(value) is bytes and 0 < len(value) <= MAX_KEY_LIST


def _piece(value: Any) -> bool:
    return type(value) is bytes and 0 < len(value) <= MAX_PIECE


def _manifest(value: Any) -> bool:
    return type(value) is bytes and 0 < len(value) <= MAX_MANIFEST


def _path(value: Any) -> bool:
    return type(value) is list and len(value) <= MAX_PATH and all(map(_hash, value))


def _chunks(value: Any) -> bool:
    if type(value) is not list or not 0 < len(value) <= MAX_PIECE:
        return False
    return all(
        type(row) is list and len(row) == 2 and type(row[0]) is bytes and len(row[0]) <= CHUNK and _path(row[1])
        for row in value
    )


def _rows(value: Any) -> bool:
    if type(value) is not list or len(value) > MAX_VERSIONS:
        return False
    return all(type(row) is list and len(row) == 2 and _count(row[0]) and _count(row[1]) for row in value)


def _next(value: Any) -> bool:
    return type(value) is int and value >= -1


def _code(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_CODE


def _text(value: Any) -> bool:
    return type(value) is str and len(value) <= MAX_TEXT


_REQUESTS: Final[dict[str, tuple[type, tuple[Check, ...]]]] = {
    "GetManifest": (GetManifest, (_id, _count, _id)),
    "GetKeys": (GetKeys, (_id, _count)),
    "GetPiece": (GetPiece, (_id, _count, _id, _count, _count, _length)),
    "GetVersions": (GetVersions, (_id, _count)),
    "PutKeys": (PutKeys, (_id, _count, _keys)),
    "Locate": (Locate, (_id, _hash)),
    "Prove": (Prove, (_id, _count, _id, _count, _hash)),
}
_REPLIES: Final[dict[str, tuple[type, tuple[Check, ...]]]] = {
    "Listing": (Listing, (_manifest,)),
    "Keys": (Keys, (_keys,)),
    "Piece": (Piece, (_piece,)),
    "Versions": (Versions, (_rows, _next)),
    "Place": (Place, (_count, _id, _count, _count, _hash, _path)),
    "Chunks": (Chunks, (_chunks,)),
    "Done": (Done, ()),
    "Refused": (Refused, (_code, _text)),
}
