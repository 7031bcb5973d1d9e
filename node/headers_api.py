"""Headers for light clients (``tallystick/headers.py``): consecutive ones with the certificate of the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import FastAPI, Query
from fastapi.responses import Response

from chain.identity import genesis_statement
from chain.view import PrunedError, Reads
from tallystick.headers import Answer, Stretch, row_of

if TYPE_CHECKING:
    from node.peer import Peer

MAX_HEADERS: Final = 500
OCTETS: Final = "application/octet-stream"


def add_headers(app: FastAPI, peer: Peer) -> None:
    """The route of this file."""

    @app.get("/v1/headers")
    async def headers(
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        most: Annotated[int, Query(ge=1, le=MAX_HEADERS)] = MAX_HEADERS,
    ) -> Response:
        """The headers above a height, up to the next change of validators, as canonical bytes."""
        # Here and not in a thread each, where many askers would take the interpreter from agreement; 5 ms at most.
        return Response(headers_after(peer.view, after, most).encode(), media_type=OCTETS)


def headers_after(view: Reads, after: int, most: int) -> Answer:
    """The next stretch above a height; none for one at or past the head. Raises PrunedError."""
    if after > view.height:
        return Answer(view.height, b"", None, None)
    before = view.header(after)
    statement = genesis_statement(view.document) if after == 0 else None
    last = min(view.height, after + most)
    rows, coming = [], None
    header = before
    for height in range(after + 1, last + 1):
        header = view.header(height)
        rows.append(row_of(header))
        if header.next_validators_hash != header.validators_hash:
            coming = view.validators_after(height)
            break
    if not rows:
        return Answer(view.height, before.digest, statement, None)
    certificate = view.certificate(header.height)
    if certificate is None:
        raise PrunedError(f"the certificate of block {header.height} is not kept here: ask another node")
    return Answer(view.height, before.digest, statement, Stretch(tuple(rows), certificate, coming))
