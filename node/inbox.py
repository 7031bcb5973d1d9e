"""What a member or party is told: its notices over HTTP, page by page or as server-sent events (HTML standard).

The cursor of a notice is its place in the chain, so it is durable, the same at every node, and whoever comes back
with the last one it dealt with misses nothing and gets nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import trio
from fastapi import FastAPI, Header, Query
from fastapi.responses import StreamingResponse

from chain.notices import START, Cursor, Notice, newest_of, notices_of
from node.api_errors import ApiError
from node.views import hexed

if TYPE_CHECKING:
    from node.peer import Peer

MAX_PAGE: Final = 500
MAX_WAIT_S: Final = 30.0
KEEP_ALIVE_S: Final = 15.0
"""A comment is sent this often while nothing happens, so that a dead connection is noticed."""
RETRY_MS: Final = 2_000
"""How long a browser or client waits before it connects again."""
MAX_STREAMS: Final = 256


def notice_view(notice: Notice) -> dict[str, Any]:
    """A notice as JSON: bytes as hex; time in ms; no transaction where a block's own hook said it."""
    by_hook = notice.tx_id == bytes(len(notice.tx_id))
    return {
        "cursor": str(notice.cursor),
        "height": notice.cursor.height,
        "time": notice.time,
        "transaction": None if by_hook else notice.tx_id.hex(),
        "name": notice.name,
        "data": hexed(notice.data),
    }


def add_inbox(app: FastAPI, peer: Peer) -> None:
    """The routes of this file."""
    streams = trio.CapacityLimiter(MAX_STREAMS)

    @app.get("/v1/inbox/{recipient}")
    async def inbox(
        recipient: str,
        after: str = str(START),
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0.0,
        newest: bool = False,
    ) -> dict[str, Any]:
        """Notices after a cursor, oldest first; waits up to ``wait`` s for one. ``newest``: the last ones instead."""
        if newest:
            found = newest_of(peer.view.store, recipient, limit)[::-1]
        else:
            place = _cursor(after)
            view = peer.view
            found = notices_of(view.store, recipient, place, limit)
            with trio.move_on_after(wait):
                while not found:
                    view = await peer.view_above(view.height)
                    found = notices_of(view.store, recipient, place, limit)
        return {"notices": [notice_view(notice) for notice in found], "cursor": _last(found, after)}

    @app.get("/v1/events/{recipient}")
    async def events(
        recipient: str,
        after: str = str(START),
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """The same as a stream of server-sent events, from ``Last-Event-ID`` or ``after`` on, without an end."""
        place = _cursor(last_event_id or after)
        if streams.available_tokens < 1:
            raise ApiError(503, "TOO_MANY_STREAMS", f"{MAX_STREAMS} streams are open: close some, or use /v1/inbox")
        return StreamingResponse(
            _stream(peer, recipient, place, streams),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )


async def _stream(peer: Peer, recipient: str, place: Cursor, streams: trio.CapacityLimiter) -> AsyncIterator[str]:
    holder = object()
    await streams.acquire_on_behalf_of(holder)
    try:
        yield f"retry: {RETRY_MS}\n\n"
        while True:
            view = peer.view
            found = notices_of(view.store, recipient, place, MAX_PAGE)
            height = view.height
            del view  # a slow reader must not keep its snapshot
            for notice in found:
                place = notice.cursor
                data = json.dumps(notice_view(notice), ensure_ascii=False, separators=(",", ":"))
                yield f"id: {place}\nevent: {notice.name}\ndata: {data}\n\n"
            if not found:
                committed = False
                with trio.move_on_after(KEEP_ALIVE_S):
                    await peer.view_above(height)
                    committed = True
                if not committed:
                    yield ": still here\n\n"
    finally:
        streams.release_on_behalf_of(holder)


def _last(found: list[Notice], after: str) -> str:
    return str(found[-1].cursor) if found else after


def _cursor(text: str) -> Cursor:
    try:
        return Cursor.parse(text)
    except ValueError as error:
        raise ApiError(400, "CURSOR", str(error)) from None
