"""Documents that this node's member may read over HTTP: its own out of its vault, others' out of custody.

What is fetched from custody is opened with the member's encryption key, checked against its name, and handed on: none
of it stays here. The API has no login of its own, so whoever reaches it reads what the member reads
(docs/operations.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import trio
from fastapi import FastAPI, Query
from fastapi.responses import Response

from chain.crypto import HASH_SIZE
from chain.sealed import SealingError, decode_body
from node.api_errors import ApiError
from node.custody.errors import CustodyError

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
}


def add_bodies(app: FastAPI, peer: Peer) -> None:
    """The route to sealed bodies."""

    @app.get("/v1/bodies/{sealed_root}")
    async def body(sealed_root: str, chain: Annotated[str | None, Query(max_length=MAX_ID)] = None) -> Response:
        """The sealed body of a record by the sealed root in it: this member's own, or with ``chain`` one of that
        chain, where its owner named this member as a reader."""
        root = _root(sealed_root)
        data = await read_document(peer, root, chain)
        try:
            decode_body(data, root)
        except SealingError as error:
            raise ApiError(404, error.code, str(error)) from None
        return Response(data, media_type=OCTETS)


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


def _root(text: str) -> bytes:
    try:
        root = bytes.fromhex(text)
    except ValueError:
        root = b""
    if len(root) != HASH_SIZE:
        raise ApiError(400, "NOT_A_HASH", f"{text[:80]!r} is not 64 hexadecimal digits")
    return root
