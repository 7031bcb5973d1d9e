"""Where a node reads Bitcoin's chain: ``bitcoind``-like JSON-RPC, or an Esplora server over HTTPS.

Three questions are enough for time stamps: the height of the newest block, the hash of the block at a height, and
a block's 80-byte header. An answer is believed only as far as it can be: a header must have the hash asked for and
the work it states. That the hash is Bitcoin's is the source's word, which is why several are asked before an
anchor is final, and why every member's node asks its own.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from chain.bitcoin import HASH_SIZE, HEADER_SIZE, BitcoinError, Header, of_shown, shown
from node.anchor_backend import BackendError
from node.bounded_http import client, exchange, host

MAX_ANSWER_BYTES: Final = 64 * 1024
ESPLORA: Final = "esplora+"
"""Before the scheme of a URL that is an Esplora server's, for example ``esplora+https://HOST/api``."""
_OUT_OF_RANGE: Final = -8
"""bitcoind's error code for a height above its newest block (RPC_INVALID_PARAMETER)."""


class BitcoinRefusedError(BackendError):
    """A source answered with an error object. code: its own number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class BitcoinSource(Protocol):
    """One view of Bitcoin's chain. Every method raises BackendError."""

    name: str
    """The host alone: a URL may carry a password."""

    async def tip(self) -> int:
        """The newest block's height."""

    async def block_hash(self, height: int) -> bytes | None:
        """The hash of the block at a height, internal order; None where the chain is not so high (yet)."""

    async def header(self, block_hash: bytes) -> Header:
        """The header with this hash."""

    async def close(self) -> None:
        """Give the connections up."""


def source(url: str, auth: Path | None = None) -> BitcoinSource:
    """The source a URL names; auth: see ``BitcoinRpc``. Raises ValueError with a line that says what is expected."""
    plain = url.removeprefix(ESPLORA)
    try:
        parts = urlsplit(plain)
        valid = parts.scheme in ("http", "https") and parts.hostname is not None
        _ = parts.port
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("BITCOIN_URL: a Bitcoin source is http://HOST:8332 or esplora+https://HOST/api")
    return Esplora(plain) if url.startswith(ESPLORA) else BitcoinRpc(plain, auth)


class _Http:
    """One endpoint with its connection pool, and how its answers are read."""

    def __init__(self, url: str) -> None:
        self.name = host(url)
        self._client = client(url)

    async def close(self) -> None:
        """Close the connections; no call may follow."""
        await self._client.aclose()

    def _header(self, block_hash: bytes, text: Any) -> Header:
        try:
            header = Header.decode(bytes.fromhex(text))
        except (TypeError, ValueError):  # BitcoinError is a ValueError
            raise BackendError(
                f"{self.name} gives no header of {HEADER_SIZE} bytes with the work it states"
            ) from None
        if header.hash != block_hash:
            raise BackendError(f"{self.name} gives another header than that of {shown(block_hash)}")
        return header

    def _hash(self, text: Any) -> bytes:
        try:
            return of_shown(text)
        except (BitcoinError, AttributeError, TypeError):
            raise BackendError(f"{self.name} gives no block hash of {HASH_SIZE} bytes") from None

    def _height(self, value: Any) -> int:
        if type(value) is not int or not 0 <= value < 2**32:
            raise BackendError(f"{self.name} gives no block height")
        return value


class BitcoinRpc(_Http):
    """``bitcoind``, or a node with its JSON-RPC.

    auth: a file with ``user:password``, read at each call since bitcoind writes its ``.cookie`` anew at each start;
    without it the URL's own user and password.
    """

    def __init__(self, url: str, auth: Path | None = None) -> None:
        super().__init__(url)
        parts = urlsplit(url)
        place = f"{self.name}:{parts.port}" if parts.port else self.name
        self._url = urlunsplit((parts.scheme, place, parts.path, "", ""))
        self._given = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
        self._auth = auth
        self._numbers = itertools.count(1)

    async def call(self, method: str, *params: Any) -> Any:
        """The ``result`` of one call. Raises BackendError; BitcoinRefusedError for an error of the node's own."""
        number = next(self._numbers)
        request = self._client.build_request(
            "POST", self._url, json={"jsonrpc": "1.0", "id": number, "method": method, "params": params}
        )
        # bitcoind sends errors with status 404 or 500 and a JSON body; only the body decides.
        status, body = await exchange(self._client, request, MAX_ANSWER_BYTES, self._credentials())
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, Mapping) or answer.get("id") != number:
            raise BackendError(f"{self.name} answers {method} with HTTP status {status}, not JSON-RPC")
        error = answer.get("error")
        if error is not None:
            code = error.get("code") if isinstance(error, Mapping) else None
            raise BitcoinRefusedError(
                code if isinstance(code, int) else 0, f"{self.name} refuses {method}: {str(error)[:200]}"
            )
        return answer.get("result")

    async def tip(self) -> int:
        """See ``BitcoinSource``."""
        return self._height(await self.call("getblockcount"))

    async def block_hash(self, height: int) -> bytes | None:
        """See ``BitcoinSource``."""
        try:
            return self._hash(await self.call("getblockhash", height))
        except BitcoinRefusedError as error:
            if error.code == _OUT_OF_RANGE:
                return None
            raise

    async def header(self, block_hash: bytes) -> Header:
        """See ``BitcoinSource``."""
        return self._header(block_hash, await self.call("getblockheader", shown(block_hash), False))

    def _credentials(self) -> tuple[str, str] | None:
        if self._auth is None:
            return self._given
        try:
            user, _, password = self._auth.read_text().strip().partition(":")
        except (OSError, UnicodeDecodeError) as error:
            raise BackendError(f"cannot read {self._auth} for {self.name}: {error}") from None
        return user, password


class Esplora(_Http):
    """An Esplora server (block explorers' HTTP interface). URL: ``https://host/api``."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._url = url.rstrip("/")

    async def tip(self) -> int:
        """See ``BitcoinSource``."""
        text = await self._get("/blocks/tip/height")
        return self._height(int(text) if text is not None and text.isdecimal() else None)

    async def block_hash(self, height: int) -> bytes | None:
        """See ``BitcoinSource``."""
        text = await self._get(f"/block-height/{height}")
        return None if text is None else self._hash(text)

    async def header(self, block_hash: bytes) -> Header:
        """See ``BitcoinSource``."""
        return self._header(block_hash, await self._get(f"/block/{shown(block_hash)}/header"))

    async def _get(self, path: str) -> str | None:
        """The answer's text; None for 404."""
        request = self._client.build_request("GET", self._url + path)
        status, body = await exchange(self._client, request, MAX_ANSWER_BYTES)
        if status == httpx.codes.NOT_FOUND:
            return None
        if status != httpx.codes.OK:
            raise BackendError(f"{self.name} answers {path} with HTTP status {status}")
        return body.decode("ascii", "replace").strip()
