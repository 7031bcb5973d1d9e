"""The documents of the node's member over HTTP: kept encrypted in its vault, then handed to custodians.

Blocking work goes to threads. A document's kinds (of the records it belongs to, "*" where unknown) decide who may
read it later: those whom the member names for every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import trio
from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from chain.codec import CodecError, decode
from chain.crypto import HASH_SIZE, sha256
from contracts.record import MAX_NAME
from node.api_body import read_body
from node.api_errors import ApiError
from node.bodies_api import MAX_ID, OCTETS, read_document
from node.documents import DocumentError
from node.peer import DISK_LOW
from node.vault import Item

if TYPE_CHECKING:
    from node.peer import Peer

MAX_ITEMS: Final = 2000
"""Documents stored in one request."""
MAX_KINDS: Final = 64

_STATUS: Final = {
    "NO_ENCRYPTION_KEY": 409,
    "TOO_LARGE": 413,
    "WRONG_HASH": 400,
    "DOCUMENT_MISSING": 404,
    "UNKNOWN_DEPOSIT": 404,
    "STORE_FULL": 507,
    "STORE_FAILED": 503,
}


def add_documents(app: FastAPI, peer: Peer) -> None:
    """Routes to put documents and get them back."""

    @app.put("/v1/documents", status_code=201)
    async def put_document(
        request: Request,
        kinds: Annotated[str, Query(max_length=4096)] = "*",
        sha256: str | None = None,
        sealed_root: str | None = None,
    ) -> dict[str, str]:
        """Keep a document. kinds: separated by commas; sha256: what its bytes must have; sealed_root: it is the body
        of that root. Answers its name: the SHA-256 of a raw document, else the root."""
        _check_disk(peer)
        named = None if sealed_root is None else _hash(sealed_root)
        wanted = None if sha256 is None else _hash(sha256)
        await _after_votes(peer, request)
        data = await read_body(request, peer.config.limits.document_bytes)
        item = Item(data, _kinds(kinds.split(",")), named)
        name = await trio.to_thread.run_sync(_keep, peer, item, wanted)
        return {"sha256" if named is None else "sealed_root": name.hex()}

    @app.post("/v1/documents", status_code=201)
    async def put_documents(request: Request, kinds: Annotated[str, Query(max_length=4096)] = "*") -> list[str]:
        """Keep several documents (canonical ``[document …]``); answers their names. A document is its bytes, or
        ``[name | nil, [kind …], bytes]``: its sealed root, nil for a raw one, and its own kinds."""
        _check_disk(peer)
        shared = _kinds(kinds.split(","))
        await _after_votes(peer, request)
        items = _items(await read_body(request, peer.config.api.max_request_bytes), shared)
        names = await trio.to_thread.run_sync(peer.documents.put_many, items)
        return [name.hex() for name in names]

    @app.get("/v1/documents/{digest}")
    async def get_document(digest: str, chain: Annotated[str | None, Query(max_length=MAX_ID)] = None) -> Response:
        """A document by its name: this member's own, or with ``chain`` one of that chain that it may read."""
        return Response(await read_document(peer, _hash(digest), chain), media_type=OCTETS)


def document_status(error: DocumentError) -> int:
    """The HTTP status of an error about documents."""
    return _STATUS.get(error.code, 500)


def _keep(peer: Peer, item: Item, wanted: bytes | None) -> bytes:
    if wanted is not None and sha256(item.data) != wanted:
        raise DocumentError(
            "WRONG_HASH", f"the bytes sent do not have the SHA-256 {wanted.hex()}: send the file again"
        )
    return peer.documents.put_many([item])[0]


def _items(body: bytes, kinds: tuple[str, ...]) -> list[Item]:
    try:
        found: Any = decode(body, max_size=len(body) or 1, max_depth=4)
    except CodecError as error:
        raise ApiError(400, "NOT_CANONICAL", f"the body is not canonical: {error}") from None
    if type(found) is not list or len(found) > MAX_ITEMS:
        raise ApiError(400, "MALFORMED", f"the body is not a list of at most {MAX_ITEMS} documents")
    return [_item(entry, kinds) for entry in found]


def _item(entry: Any, kinds: tuple[str, ...]) -> Item:
    match entry:
        case bytes():
            return Item(entry, kinds)
        case [None | bytes() as name, list(own), bytes(data)] if name is None or len(name) == HASH_SIZE:
            return Item(data, _kinds(own), name)
    raise ApiError(400, "MALFORMED", "a document is its bytes, or [name or nil, [kind …], bytes]")


def _kinds(given: Sequence[Any]) -> tuple[str, ...]:
    if not 0 < len(given) <= MAX_KINDS or not all(_is_kind(kind) for kind in given):
        said = f"kinds are 1 to {MAX_KINDS} names of record kinds, of at most {MAX_NAME} characters: correct them"
        raise ApiError(400, "PARAMETER", said)
    return tuple(given)


def _is_kind(kind: Any) -> bool:
    return type(kind) is str and 0 < len(kind) <= MAX_NAME and kind.isprintable() and "," not in kind


async def _after_votes(peer: Peer, request: Request) -> None:
    """Before a body is read: every document costs agreement time, four times over until it is in custody."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal():
        most = max(peer.config.limits.document_bytes, peer.config.api.max_request_bytes)
        await peer.in_loop(peer.custody.pace.take_in, min(int(length), most))


def _check_disk(peer: Peer) -> None:
    if peer.disk_is_low():
        raise ApiError(507, "DISK_LOW", DISK_LOW)


def _hash(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        raise ApiError(400, "NOT_HEX", f"{text[:80]!r} is not hexadecimal") from None
    if len(value) != HASH_SIZE:
        raise ApiError(400, "NOT_A_HASH", f"{text[:80]!r} is not 64 hexadecimal digits")
    return value
