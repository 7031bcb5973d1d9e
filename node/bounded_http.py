"""One HTTP exchange with a stranger: whatever comes back is bounded in size and time, whatever fails is one line."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import httpx
import trio

from node.anchor_backend import BackendError

TIMEOUT_SECONDS: Final = 15.0
"""Without anything coming."""
TOTAL_SECONDS: Final = 60.0
"""For the whole answer, however it drips."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def host(url: str) -> str:
    """The host alone, for people: a URL may carry a password or a key, which must not reach a log."""
    return urlsplit(url).hostname or "an unnamed host"


def client(*urls: str) -> httpx.AsyncClient:
    """A connection pool for these places. Follows no redirection."""
    # A proxy from the environment leads out of the machine, never back to its own loopback.
    own = _LOOPBACK.issuperset(host(url) for url in urls)
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=not own, verify=_authorities())


@cache
def _authorities() -> ssl.SSLContext:
    """The certificates that HTTPS hosts must lead to, read once: that takes longer than an exchange."""
    return httpx.create_ssl_context()


async def exchange(
    pool: httpx.AsyncClient, request: httpx.Request, most: int, auth: tuple[str, str] | None = None
) -> tuple[int, bytes]:
    """(HTTP status, body of at most ``most`` bytes). Raises BackendError where there is no such answer."""
    name = request.url.host
    body = bytearray()
    try:
        with trio.move_on_after(TOTAL_SECONDS) as scope:
            response = await pool.send(request, auth=auth or httpx.USE_CLIENT_DEFAULT, stream=True)
            try:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > most:
                        scope.cancel()  # what is being read unwinds from within; left alone, it would linger
            finally:
                with trio.CancelScope(shield=True):
                    await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise BackendError(f"{name} does not answer: {str(error) or type(error).__name__}") from None
    if len(body) > most:
        raise BackendError(f"{name} answers with more than {most} bytes")
    if scope.cancelled_caught:
        raise BackendError(f"{name} does not answer within {TOTAL_SECONDS} seconds")
    return response.status_code, bytes(body)
