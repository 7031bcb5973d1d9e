"""Reading the body of a request, refused as soon as it grows past its limit."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from fastapi import Request

from chain.codec import CodecError, decode
from node.api_errors import ApiError


async def read_body(request: Request, limit: int) -> bytes:
    """All bytes of it. Raises ApiError TOO_LARGE."""
    data = bytearray()
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            data += chunk
            if len(data) > limit:
                raise ApiError(413, "TOO_LARGE", f"the body is larger than {limit} bytes: send less at once")
    return bytes(data)


async def read_list(request: Request, limit: int, most: int) -> list[bytes]:
    """A body that is canonical ``[bytes, …]``. Raises ApiError TOO_LARGE, NOT_CANONICAL, MALFORMED."""
    body = await read_body(request, limit)
    try:
        found: Any = decode(body, max_size=limit, max_depth=2)
    except CodecError as error:
        raise ApiError(400, "NOT_CANONICAL", f"the body is not canonical: {error}") from None
    if type(found) is not list or len(found) > most or not all(type(item) is bytes for item in found):
        raise ApiError(400, "MALFORMED", f"the body is not a list of at most {most} byte strings")
    return found
