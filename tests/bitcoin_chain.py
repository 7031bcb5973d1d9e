"""A small Bitcoin chain as ``bitcoind -regtest`` makes it, served over JSON-RPC and as an Esplora server.

Blocks are real: regtest's own genesis, 80-byte headers with regtest's target ground, Merkle trees over real
transaction ids, heights in coinbases (BIP 34). Transactions are serialised as Bitcoin has them, but spend nothing
that exists: no script is ever run. Time is made up and starts at ``START``.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from chain.bitcoin import Header, double_sha256, merkle_root, of_shown, shown

GENESIS: Final = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3"
    "888a51323a9fb8aa4b1e5e4adae5494dffff7f2002000000"
)
GENESIS_HASH: Final = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
REGTEST_BITS: Final = 0x207FFFFF
START: Final = 1_800_000_000
SPACING: Final = 600
OUT_OF_RANGE, NOT_FOUND, NO_METHOD = -8, -5, -32601


class RpcRefusalError(Exception):
    """What bitcoind answers with an error object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def compact_size(value: int) -> bytes:
    return bytes([value]) if value < 0xFD else b"\xfd" + value.to_bytes(2, "little")


def push(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def transaction(outpoint: bytes, script: bytes, sequence: int, outputs: list[tuple[int, bytes]]) -> bytes:
    """A version 2 transaction with one input, without witness. outpoint: 36 bytes."""
    body = (2).to_bytes(4, "little") + b"\x01" + outpoint + compact_size(len(script)) + script
    body += sequence.to_bytes(4, "little") + compact_size(len(outputs))
    for amount, locking in outputs:
        body += amount.to_bytes(8, "little") + compact_size(len(locking)) + locking
    return body + bytes(4)


def coin(number: int) -> bytes:
    """An outpoint of no coin that exists."""
    return double_sha256(b"coin %d" % number) + bytes(4)


def op_return(data: bytes, outpoint: bytes) -> bytes:
    """A transaction that carries ``data`` in its one unspendable output."""
    return transaction(outpoint, b"", 0xFFFFFFFD, [(0, b"\x6a" + push(data))])


def coinbase(height: int, extra: int) -> bytes:
    """Pays a block's reward to anybody. extra: what tells it from another one of this height."""
    digits = height.to_bytes(height.bit_length() // 8 + 1, "little")
    number = push(digits) if height > 16 else bytes([0x50 + height])
    script = number + push(extra.to_bytes(4, "little"))
    return transaction(bytes(32) + b"\xff\xff\xff\xff", script, 0xFFFFFFFF, [(50 * 10**8, b"\x51")])


def ground(previous: bytes, root: bytes, time: int, bits: int = REGTEST_BITS) -> bytes:
    """A header with the work it states."""
    front = (
        (0x20000000).to_bytes(4, "little") + previous + root + time.to_bytes(4, "little") + bits.to_bytes(4, "little")
    )
    for nonce in range(2**32):
        raw = front + nonce.to_bytes(4, "little")
        try:
            return Header.decode(raw).raw
        except ValueError:
            continue
    raise AssertionError("no nonce")


class BitcoinChain:
    """The chain in memory. ``extra`` tells blocks of one height apart, so that a branch made anew differs.

    branch: another number makes another chain on the same genesis.
    """

    def __init__(self, branch: int = 0, start: int = START) -> None:
        self.headers = [GENESIS]
        self.ids: list[list[bytes]] = [
            [bytes.fromhex("3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a")]
        ]
        self.extra = branch << 16
        self.start = start
        self.carried = 0
        self.lock = threading.RLock()

    @property
    def height(self) -> int:
        return len(self.headers) - 1

    def hash(self, height: int) -> bytes:
        return double_sha256(self.headers[height])

    def carrying(self, data: bytes) -> bytes:
        """A transaction for the next block that carries ``data``; each spends another coin."""
        self.carried += 1
        return op_return(data, coin(self.carried))

    def mine(self, *transactions: bytes, count: int = 1, time: int | None = None) -> int:
        """Add ``count`` blocks, the first with these transactions; the first one's height."""
        with self.lock:
            first = len(self.headers)
            for place in range(count):
                height = len(self.headers)
                self.extra += 1
                raws = [coinbase(height, self.extra), *(transactions if not place else ())]
                root = merkle_root([double_sha256(raw) for raw in raws])
                when = self.start + SPACING * height if time is None else time
                self.accept(ground(self.hash(height - 1), root, when), raws)
            return first

    def accept(self, header: bytes, transactions: list[bytes]) -> None:
        """Put a block on top."""
        self.headers.append(header)
        self.ids.append([double_sha256(raw) for raw in transactions])

    def rewind(self, count: int) -> None:
        """Drop the newest blocks, as a reorganisation does before others take their place."""
        with self.lock:
            del self.headers[-count:], self.ids[-count:]

    def call(self, method: str, params: list[Any]) -> Any:
        """What bitcoind answers. Raises RpcRefusalError."""
        with self.lock:
            match method, params:
                case "getblockcount", []:
                    return self.height
                case "getblockhash", [int(height)]:
                    if not 0 <= height <= self.height:
                        raise RpcRefusalError(OUT_OF_RANGE, "Block height out of range")
                    return shown(self.hash(height))
                case "getbestblockhash", []:
                    return shown(self.hash(self.height))
                case "getblockheader", [str(text), *rest]:
                    height = self._find(text)
                    return self.headers[height].hex() if rest == [False] else self._described(height)
                case "getblock", [str(text), *_]:
                    height = self._find(text)
                    return {**self._described(height), "tx": [shown(each) for each in self.ids[height]]}
                case "getblockchaininfo", []:
                    return {"chain": "regtest", "blocks": self.height, "headers": self.height}
            raise RpcRefusalError(NO_METHOD, "Method not found")

    def _find(self, text: str) -> int:
        wanted = of_shown(text)
        for height in range(len(self.headers)):
            if self.hash(height) == wanted:
                return height
        raise RpcRefusalError(NOT_FOUND, "Block not found")

    def _described(self, height: int) -> dict[str, Any]:
        header = Header.decode(self.headers[height])
        return {
            "hash": shown(header.hash),
            "height": height,
            "confirmations": self.height - height + 1,
            "merkleroot": shown(header.merkle_root),
            "time": header.time,
        }


class BitcoinServer:
    """The chain over HTTP on loopback: POST is JSON-RPC as bitcoind has it, GET is Esplora's interface.

    broken: what is answered instead, (status, body), while it is set.
    """

    def __init__(self, chain: BitcoinChain, credentials: str = "user:password") -> None:
        self.chain = chain
        self.credentials = credentials
        self.broken: tuple[int, bytes] | None = None
        self.calls = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.port = int(self._http.server_address[1])
        self.url = f"http://{credentials}@127.0.0.1:{self.port}"
        self.esplora = f"esplora+http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, body: bytes, authorisation: str | None) -> tuple[int, bytes]:
        """(HTTP status, body) of a JSON-RPC request, as bitcoind's legacy protocol has them."""
        expected = "Basic " + base64.b64encode(self.credentials.encode()).decode()
        if authorisation != expected:
            return 401, b""
        request = json.loads(body)
        status, result, error = 200, None, None
        try:
            result = self.chain.call(request["method"], list(request.get("params", [])))
        except RpcRefusalError as failure:
            status = 404 if failure.code == NO_METHOD else 500
            error = {"code": failure.code, "message": str(failure)}
        return status, json.dumps({"result": result, "error": error, "id": request.get("id")}).encode()

    def explored(self, path: str) -> tuple[int, bytes]:
        """(HTTP status, body) of an Esplora request."""
        try:
            match path.strip("/").split("/"):
                case ["blocks", "tip", "height"]:
                    return 200, str(self.chain.height).encode()
                case ["block-height", height]:
                    return 200, self.chain.call("getblockhash", [int(height)]).encode()
                case ["block", text, "header"]:
                    return 200, self.chain.call("getblockheader", [text, False]).encode()
        except RpcRefusalError as failure:
            return 404, str(failure).encode()
        return 404, b"Not found"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one packet: in two, each waits for the other end's word

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                self.send(server.broken or server.answer(content, self.headers["Authorization"]))

            def do_GET(self) -> None:
                self.send(server.broken or server.explored(self.path))

            def send(self, answer: tuple[int, bytes]) -> None:
                server.calls += 1
                status, body = answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silent."""

        return Handler
