"""A development chain on loopback: Ethereum JSON-RPC where no ``anvil`` is to be had.

It answers the methods that anchoring and its checks use, over the blocks of ``node.devchain_blocks``. Chain id
31338 and the headers' extra data mark all of it ``DEV-ANCHOR: proves nothing``.

    python -m node.devchain --port 8545
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

from node.devchain_blocks import (
    BASE_FEE,
    CHAIN_ID,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Block,
    DevChain,
    RefusedError,
    gas_used,
    show,
    show_fields,
)
from node.evm_block import EvmDataError, data, entry, quantity

CLIENT_VERSION: Final = "tally-devchain/1"
FINALITY_DEPTH: Final = 2
"""Blocks below the newest that the ``finalized`` and ``safe`` tags name."""
MAX_REQUEST_BYTES: Final = 1024 * 1024
IDLE_SECONDS: Final = 30
"""A kept-alive connection that asks nothing is closed."""


class DevServer:
    """The chain behind HTTP, in threads of its own; a context manager.

    port 0 takes a free one; block_time: seconds between blocks.
    """

    def __init__(self, chain: DevChain | None = None, *, port: int = 0, block_time: float = 1.0) -> None:
        self.chain = DevChain() if chain is None else chain
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.answer = self._answer
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self._mine, args=(block_time,), daemon=True),
        ]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> DevServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join()

    def wait(self) -> None:
        """Serve until interrupted."""
        self._stopping.wait()

    def _mine(self, block_time: float) -> None:
        while not self._stopping.wait(block_time):
            with self._lock:
                if self.chain.wants_block():
                    self.chain.mine()

    def _answer(self, body: bytes) -> dict[str, Any]:
        """The JSON-RPC answer to one request body."""
        number: Any = None
        try:
            request = json.loads(body)
            number = entry(request, "id")
            method, params = entry(request, "method"), request.get("params", [])
            if not isinstance(method, str) or not isinstance(params, list):
                raise EvmDataError("method is text and params a list")
            with self._lock:
                return {"jsonrpc": "2.0", "id": number, "result": call(self.chain, method, params)}
        except RefusedError as error:
            failure = {"code": error.code, "message": str(error)}
        except (ValueError, RecursionError) as error:
            failure = {"code": PARSE_ERROR, "message": f"not a JSON-RPC request: {error}"}
        return {"jsonrpc": "2.0", "id": number, "error": failure}


def call(chain: DevChain, method: str, params: Sequence[Any]) -> Any:
    """One JSON-RPC call; its result as JSON. Raises RefusedError."""
    handler = _METHODS.get(method)
    if handler is None:
        raise RefusedError(METHOD_NOT_FOUND, f"method {method} is not known")
    try:
        return handler(chain, *params)
    except (EvmDataError, TypeError) as error:
        raise RefusedError(INVALID_PARAMS, f"{method}: {error}") from None


def _number(chain: DevChain, tag: Any) -> int:
    """The block number a tag or hex number names; there may be no such block."""
    if tag in ("latest", "pending"):
        return chain.head.number
    if tag in ("finalized", "safe"):
        return max(0, chain.head.number - FINALITY_DEPTH)
    return 0 if tag == "earliest" else quantity(tag)


def _transaction_count(chain: DevChain, address: Any, tag: Any = "latest") -> str:
    sender = data(address)
    count = chain.count(sender, _number(chain, tag))
    while tag == "pending" and chain.is_pending(sender, count):
        count += 1
    return hex(count)


def _block_by_number(chain: DevChain, tag: Any, full: Any = False) -> Any:
    block = chain.block(_number(chain, tag))
    return None if block is None else _show_block(block, full)


def _block_by_hash(chain: DevChain, block_hash: Any, full: Any = False) -> Any:
    number = chain.number_of(data(block_hash))
    return None if number is None else _block_by_number(chain, hex(number), full)


def _raw_header(chain: DevChain, tag: Any) -> Any:
    block = chain.block(_number(chain, tag))
    return None if block is None else show(block.header)


def _transaction(chain: DevChain, transaction_hash: Any) -> Any:
    place = chain.place(data(transaction_hash))
    return None if place is None else _show_transaction(*place)


def _receipt(chain: DevChain, transaction_hash: Any) -> Any:
    place = chain.place(data(transaction_hash))
    if place is None:
        return None
    block, index = place
    gas = [gas_used(transaction.payload) for _, transaction in block.transactions]
    shown = _show_transaction(block, index)
    kept = ("blockHash", "blockNumber", "transactionIndex", "from", "to", "type")
    return {name: shown[name] for name in kept} | {
        "transactionHash": shown["hash"],
        "gasUsed": hex(gas[index]),
        "cumulativeGasUsed": hex(sum(gas[: index + 1])),
        "effectiveGasPrice": hex(BASE_FEE),
        "contractAddress": None,
        "logs": [],
        "logsBloom": show(bytes(256)),
        "status": "0x1",
    }


def _send(chain: DevChain, raw: Any) -> str:
    return show(chain.submit(data(raw)))


def _rewind(chain: DevChain, depth: Any) -> bool:
    chain.rewind(quantity(depth))
    return True


def _show_transaction(block: Block, index: int) -> dict[str, Any]:
    raw, transaction = block.transactions[index]
    return show_fields(raw) | {
        "hash": show(transaction.hash),
        "from": show(transaction.sender),
        "blockHash": show(block.hash),
        "blockNumber": hex(block.number),
        "transactionIndex": hex(index),
    }


def _show_block(block: Block, full: Any) -> dict[str, Any]:
    shown = [_show_transaction(block, index) for index in range(len(block.transactions))]
    return {
        **block.fields,
        "hash": show(block.hash),
        "size": hex(len(block.header) + sum(len(raw) for raw, _ in block.transactions)),
        "uncles": [],
        "withdrawals": [],
        "transactions": shown if full is True else [transaction["hash"] for transaction in shown],
    }


_METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "web3_clientVersion": lambda _chain: CLIENT_VERSION,
    "eth_chainId": lambda _chain: hex(CHAIN_ID),
    "net_version": lambda _chain: str(CHAIN_ID),
    "eth_blockNumber": lambda chain: hex(chain.head.number),
    "eth_gasPrice": lambda _chain: hex(2 * BASE_FEE),
    "eth_maxPriorityFeePerGas": lambda _chain: hex(BASE_FEE),
    "eth_getBalance": lambda _chain, address, _tag="latest": hex(10**21) if data(address) else "0x0",
    "eth_getTransactionCount": _transaction_count,
    "eth_getBlockByNumber": _block_by_number,
    "eth_getBlockByHash": _block_by_hash,
    "eth_getTransactionByHash": _transaction,
    "eth_getTransactionReceipt": _receipt,
    "eth_sendRawTransaction": _send,
    "debug_getRawHeader": _raw_header,
    "tally_rewind": _rewind,
}


class _Http(ThreadingHTTPServer):
    """The listening socket, told how to answer. Closing it ends the connections too, as an outage does."""

    daemon_threads = False
    answer: Callable[[bytes], dict[str, Any]]

    def __init__(self, *arguments: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and remember it."""
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection, and close it."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close everything and wait for the connections' threads."""
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is its client's affair; anything else is a defect worth seeing."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection; kept alive between requests."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True  # head and body are two writes; else each answer waits 40 ms for an ACK
    server: _Http

    def do_POST(self) -> None:
        """Answer one JSON-RPC request."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_REQUEST_BYTES:
            self.close_connection = True
            self.send_error(413, f"a request has a Content-Length of at most {MAX_REQUEST_BYTES}")
            return
        body = json.dumps(self.server.answer(self.rfile.read(length))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what is asked here is the asker's to log."""


def main() -> None:
    """Run the chain in the foreground until it is ended."""
    parser = argparse.ArgumentParser(prog="python -m node.devchain", description=__doc__)
    parser.add_argument("--port", type=int, default=8545)
    parser.add_argument("--block-time", type=float, default=1.0, metavar="SECONDS")
    arguments = parser.parse_args()
    try:
        server = DevServer(port=arguments.port, block_time=arguments.block_time)
    except OSError as error:
        parser.exit(1, f"port {arguments.port} cannot be used ({error.strerror}): choose another with --port\n")
    with server:
        print(f"development chain {CHAIN_ID} on {server.url} (DEV-ANCHOR: proves nothing)", flush=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
