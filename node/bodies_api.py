"""Documents that this node's member may read over HTTP: its own out of its vault, others' out of custody.

What is fetched from custody is opened with the member's encryption key, checked against its name, and handed on: none
of it stays here. The API has no login of its own, so whoever reaches it reads what the member reads
(docs/operations.md). A party that runs no node asks a node that keeps copies for one, and opens it with its own key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import trio
from fastapi import FastAPI, Query
from fastapi.responses import Response

from chain.codec import encode
from chain.crypto import HASH_SIZE
from chain.sealed import SealingError, decode_body
from contracts.access import MEMBER, PARTY
from node.api_errors import ApiError
from node.custody.errors import CustodyError
from node.custody.shelf import Shelf

if TYPE_CHECKING:
    from node.peer import Peer

OCTETS: Final = "application/octet-stream"
MAX_ID: Final = 64
_STATUS: Final = {
    "NOT_A_READER": 403,
    "READER_REVOKED": 403,
    "NO_ENCRYPTION_KEY": 409,
    "NO_KEY": 409,
    "UNKNOWN_CHAIN": 404,
    "NOT_FOUND": 404,
    "NOT_HELD": 404,
}


def add_bodies(app: FastAPI, peer: Peer) -> None:
    """The routes to sealed bodies, and to the encrypted copies that readers without a node open themselves."""
    shelf = Shelf(peer.member, peer.documents)

    @app.get("/v1/bodies/{sealed_root}")
    async def body(sealed_root: str, chain: Annotated[str | None, Query(max_length=MAX_ID)] = None) -> Response:
        """The sealed body of a record by the sealed root in it: this member's own, or with ``chain`` one of that
        chain, where its owner named this member as a reader."""
        root = _name(sealed_root)
        data = await read_document(peer, root, chain)
        try:
            decode_body(data, root)
        except SealingError as error:
            raise ApiError(404, error.code, str(error)) from None
        return Response(data, media_type=OCTETS)

    @app.get("/v1/copies/{name}")
    async def copy(
        name: str,
        chain: Annotated[str, Query(max_length=MAX_ID)],
        reader: Annotated[str, Query(max_length=MAX_ID)],
    ) -> Response:
        """A document as this node keeps it for a chain, encrypted, with the keys sealed to its readers, of whom
        ``reader`` must be one: canonical ``["tally/custody_copy", 1, holder, key list, copy]``."""
        named = await peer.in_loop(lambda: peer.custody.book.rules(chain).names(reader))
        try:
            found = await trio.to_thread.run_sync(_copy, shelf, chain, _name(name), reader if named else None)
        except CustodyError as error:
            raise ApiError(_STATUS.get(error.code, 503), error.code, str(error)) from None
        return Response(found, media_type=OCTETS)


async def read_document(peer: Peer, name: bytes, chain: str | None) -> bytes:
    """A document by its name, this member's own or, with ``chain``, one of that chain out of custody.

    Raises DocumentError, ApiError: NOT_FOUND, NOT_A_READER, READER_REVOKED, NO_ENCRYPTION_KEY, UNKNOWN_CHAIN.
    """
    if await trio.to_thread.run_sync(peer.documents.has, name):
        return await trio.to_thread.run_sync(peer.documents.get, name)
    if chain is None:
        raise ApiError(404, "NOT_FOUND", "no such document of this member: name the chain it is of (?chain=)")
    try:
        return await peer.in_loop(peer.custody.fetch, chain, name)
    except CustodyError as error:
        raise ApiError(_STATUS.get(error.code, 503), error.code, str(error)) from None


def _copy(shelf: Shelf, chain: str, name: bytes, reader: str | None) -> bytes:
    """In a thread. Raises CustodyError NOT_HELD, NOT_A_READER, DocumentError."""
    refusal = CustodyError("NOT_HELD", f"this node holds no copy of {name.hex()[:16]}… for {chain}: ask {chain}'s")
    for number, index, holder in shelf.locate(chain, name):
        keys = shelf.key_list(chain, number)
        if keys is None or reader is None or not any(keys.reads(kind, reader, name) for kind in (MEMBER, PARTY)):
            refusal = CustodyError("NOT_A_READER", f"{chain} has named no such reader of it: ask {chain} to name it")
            continue
        size = shelf.manifest(chain, number, holder).entries[index].size
        data = shelf.piece(chain, number, holder, index, 0, size)
        return encode(["tally/custody_copy", 1, holder, keys.encode(), data])
    raise refusal


def _name(text: str) -> bytes:
    try:
        name = bytes.fromhex(text)
    except ValueError:
        name = b""
    if len(name) != HASH_SIZE:
        raise ApiError(400, "NOT_A_HASH", f"{text[:80]!r} is not 64 hexadecimal digits")
    return name
