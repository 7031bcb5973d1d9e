"""OpenTimestamps calendars over HTTP: hand a digest in, fetch what became of it.

    POST /digest              the digest itself → the stamp that leads from it to a promise (at once)
    GET  /timestamp/<hex>     the promised message → the stamp that leads from it to a Bitcoin block; 404 until then

A calendar takes anybody's digest, for nothing, and repeats nothing it was not sent: a digest tells it nothing.
Answers are bounded as in the reference client. An address that comes out of a stamp is asked only where the
operator, or the reference client's list, knows its host: a stamp must not choose whom this node talks to.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

import httpx

from chain.ots_stamp import OtsError, Stamp, decode_stamp
from node.anchor_backend import BackendError
from node.bounded_http import client, exchange, host

MAX_ANSWER_BYTES: Final = 10_000
ACCEPT: Final = "application/vnd.opentimestamps.v1"
KNOWN_HOSTS: Final = (
    "*.calendar.opentimestamps.org",
    "*.calendar.eternitywall.com",
    "*.calendar.catallaxy.com",
)
"""Calendars behind the public pools, by HTTPS: the reference client's list."""


class Calendars:
    """The calendars of one node. urls: those digests are handed to, without a slash at the end."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(url.rstrip("/") for url in urls)
        self._client = client(*self.urls)
        self._client.headers["Accept"] = ACCEPT

    async def close(self) -> None:
        """Give the connections up."""
        await self._client.aclose()

    def knows(self, uri: str) -> bool:
        """Whether a calendar named in a stamp may be asked."""
        plain = uri.rstrip("/")
        if plain in self.urls:
            return True
        parts = urlsplit(plain)
        return (
            parts.scheme == "https"
            and not parts.path
            and ":" not in parts.netloc
            and any(fnmatchcase(parts.netloc, known) for known in KNOWN_HOSTS)
        )

    async def submit(self, url: str, digest: bytes) -> Stamp:
        """Hand a digest in; the stamp with the promise. Raises BackendError."""
        status, body = await self._ask(self._client.build_request("POST", f"{url}/digest", content=digest))
        if status != httpx.codes.OK:
            raise BackendError(f"{host(url)} takes no digest: HTTP status {status}")
        return _stamp(url, digest, body)

    async def fetch(self, uri: str, message: bytes) -> Stamp | None:
        """What became of a promise; None while nothing has. Raises BackendError."""
        url = uri.rstrip("/")
        status, body = await self._ask(self._client.build_request("GET", f"{url}/timestamp/{message.hex()}"))
        if status == httpx.codes.NOT_FOUND:
            return None
        if status != httpx.codes.OK:
            raise BackendError(f"{host(url)} gives no stamp: HTTP status {status}")
        return _stamp(url, message, body)

    async def _ask(self, request: httpx.Request) -> tuple[int, bytes]:
        return await exchange(self._client, request, MAX_ANSWER_BYTES)


def _stamp(url: str, message: bytes, body: bytes) -> Stamp:
    try:
        return decode_stamp(message, body)
    except OtsError as error:
        raise BackendError(f"{host(url)} answers with a stamp that is none: {error}") from None
