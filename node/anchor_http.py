"""One HTTP exchange with an anchoring service, with a time limit and a size limit; errors never hold the URL."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from node.anchor_backend import BackendError

TIMEOUT_SECONDS: Final = 30.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Answer(NamedTuple):
    """What came back. media_type: lower case, without parameters."""

    status: int
    media_type: str
    body: bytes


class Service:
    """One service at a URL, with its connection pool. Whoever makes it closes it."""

    def __init__(self, url: str, *, limit: int, timeout: float = TIMEOUT_SECONDS) -> None:
        """limit: bytes of an answer; timeout: seconds without progress."""
        self.host = urlsplit(url).hostname or "the service"
        """The host alone: a URL often carries a secret, which must not reach a log."""
        self._url = url.rstrip("/")
        self._limit = limit
        # A proxy from the environment leads out of the machine, never back to its own loopback.
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=self.host not in _LOOPBACK)

    async def post(self, content: bytes, media_type: str, path: str = "") -> Answer:
        """POST bytes and take the answer, whatever its status. Raises BackendError where there is none."""
        headers = {"content-type": media_type}
        body = bytearray()
        try:
            async with self._client.stream("POST", self._url + path, content=content, headers=headers) as response:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > self._limit:
                        raise BackendError(f"{self.host} answers with more than {self._limit} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = (str(error) or type(error).__name__).replace(self._url, self.host)
            raise BackendError(f"{self.host} does not answer: {reason}") from None
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Answer(response.status_code, kind, bytes(body))

    async def close(self) -> None:
        """Close the connections; no call may follow."""
        await self._client.aclose()
