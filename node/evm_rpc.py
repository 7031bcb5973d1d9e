"""Ethereum JSON-RPC over HTTP: the calls anchoring needs, typed, with a time limit and a size limit.

Two kinds of failure and no third: the node could not be asked (``RpcUnavailable``: wait and ask again), or it
answered with an error (``RpcRefused``). Nothing is ever decided by an error's text, which differs between
clients and versions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx

from node.evm_block import EvmDataError, count, digest, entry

TIMEOUT_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A full Ethereum block is a few MB of JSON."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class RpcError(Exception):
    """A call that brought no result; one line."""


class RpcUnavailableError(RpcError):
    """The node could not be asked: connection, time limit, HTTP status, or an answer that is not JSON-RPC."""


class RpcRefusedError(RpcError):
    """The node answered with an error object."""


class EvmRpc:
    """One JSON-RPC endpoint, with its connection pool. Whoever makes it closes it."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.name = urlsplit(url).hostname or "the public node"
        """The host alone: a provider's URL often carries a secret key, which must not reach a log."""
        self._url = url
        self._numbers = itertools.count(1)
        # A proxy from the environment leads out of the machine, never back to its own loopback.
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=self.name not in _LOOPBACK)

    async def close(self) -> None:
        """Close the connections; no call may follow."""
        await self._client.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """The ``result`` of one call, as JSON gives it (None where the node knows nothing).

        Raises RpcUnavailableError or RpcRefusedError.
        """
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        try:
            answer = json.loads(await self._post(request))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
            reason = (str(error) or type(error).__name__).replace(self._url, self.name)
            raise RpcUnavailableError(f"{self.name} does not answer {method}: {reason}") from None
        if not isinstance(answer, Mapping) or answer.get("id") != number:
            raise RpcUnavailableError(f"{self.name} answers {method} with something else than JSON-RPC")
        if answer.get("error") is not None:
            raise RpcRefusedError(f"{self.name} refuses {method}: {str(answer['error'])[:200]}")
        return answer.get("result")

    async def _post(self, request: Mapping[str, Any]) -> bytes:
        async with self._client.stream("POST", self._url, json=request) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise ValueError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
            if response.status_code // 100 != 2:
                raise ValueError(f"HTTP status {response.status_code}")
            return bytes(body)

    async def chain_id(self) -> int:
        """EIP-155 chain id."""
        return count(await self.call("eth_chainId"))

    async def client_version(self) -> str:
        """What the node says it is, for status displays."""
        return str(await self.call("web3_clientVersion"))[:100]

    async def head(self) -> int:
        """The newest block's number."""
        return count(await self.call("eth_blockNumber"))

    async def final_height(self, confirmations: int | None) -> int:
        """The number of the newest block that counts as final; negative where there is none yet.

        confirmations: blocks up to the newest, both counted; None takes the ``finalized`` tag. Raises
        EvmDataError where the node knows no finalized block.
        """
        if confirmations is not None:
            return await self.head() - confirmations + 1
        block = await self.call("eth_getBlockByNumber", "finalized", False)
        if block is None:
            raise EvmDataError(f"{self.name} knows no finalized block: configure a number of confirmations")
        return count(entry(block, "number"))

    async def transaction_count(self, address: str, block: str) -> int:
        """The nonce of the next transaction, as of a tag (``latest``, ``pending``) or a block number (hex)."""
        return count(await self.call("eth_getTransactionCount", address, block))

    async def block_hash(self, number: int) -> bytes | None:
        """The hash of the canonical block with this number, or None where there is none (yet)."""
        block = await self.call("eth_getBlockByNumber", hex(number), False)
        return None if block is None else digest(entry(block, "hash"))

    async def block_by_hash(self, block_hash: bytes) -> Mapping[str, Any] | None:
        """The block with its full transactions, or None."""
        block = await self.call("eth_getBlockByHash", f"0x{block_hash.hex()}", True)
        if block is None:
            return None
        transactions = entry(block, "transactions")
        if not isinstance(transactions, list) or not all(isinstance(item, Mapping) for item in transactions):
            raise EvmDataError(f"{self.name} answers a block query without the block's transactions")
        return cast(Mapping[str, Any], block)

    async def receipt(self, transaction_hash: bytes) -> Mapping[str, Any] | None:
        """The receipt of a mined transaction, or None."""
        receipt = await self.call("eth_getTransactionReceipt", f"0x{transaction_hash.hex()}")
        if receipt is not None and not isinstance(receipt, Mapping):
            raise EvmDataError(f"{self.name} answers a receipt query with {type(receipt).__name__}")
        return receipt

    async def send(self, raw: bytes) -> bytes:
        """Broadcast a signed transaction; its hash as the node computed it."""
        return digest(await self.call("eth_sendRawTransaction", f"0x{raw.hex()}"))
