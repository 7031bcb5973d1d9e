"""An OpenTimestamps calendar over HTTP, small, with a chain of its own to stamp into.

Answers as the calendars in use do (opentimestamps-server, ``otsserver/rpc.py``): a digest gets a stamp with this
calendar's promise at once; ``stamp`` puts one hash over all that waits into an OP_RETURN output of the chain; from
then on a promise is answered with the way to the block, before with 404 and a word.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from chain.bitcoin import merkle_path
from chain.ots_stamp import APPEND, PREPEND, SHA256, Operation, bitcoin, chain_of, pending
from tests.bitcoin_chain import BitcoinChain

Way = list[Operation]
TWICE: Way = [Operation(SHA256), Operation(SHA256)]


def merkle_ways(leaves: list[bytes]) -> tuple[bytes, list[Way]]:
    """The hash over all leaves, and the operations that lead there from each (a mountain range, SHA-256)."""
    ways: list[Way] = [[] for _ in leaves]
    level = [(leaf, [place]) for place, leaf in enumerate(leaves)]
    while len(level) > 1:
        above = []
        for left, right in zip(level[::2], level[1::2], strict=False):
            for place in left[1]:
                ways[place] += [Operation(APPEND, right[0]), Operation(SHA256)]
            for place in right[1]:
                ways[place] += [Operation(PREPEND, left[0]), Operation(SHA256)]
            above.append((hashlib.sha256(left[0] + right[0]).digest(), left[1] + right[1]))
        level = above + (level[-1:] if len(level) % 2 else [])
    return level[0][0], ways


def way_into_block(chain: BitcoinChain, height: int, raw: bytes, data: bytes, index: int) -> Way:
    """From ``data`` inside transaction ``raw`` to the Merkle root of its block."""
    place = raw.index(data)
    way = [Operation(PREPEND, raw[:place]), Operation(APPEND, raw[place + len(data) :]), *TWICE]
    for left, sibling in merkle_path(chain.ids[height], index):
        way += [Operation(PREPEND if left else APPEND, sibling), *TWICE]
    return way


class Calendar:
    """One calendar. broken: what is answered instead, (status, body), while it is set. asked: digests handed in."""

    def __init__(self, chain: BitcoinChain, name: str = "calendar") -> None:
        self.chain = chain
        self.key = name.encode()
        self.lock = threading.Lock()
        self.broken: tuple[int, bytes] | None = None
        self.asked: list[bytes] = []
        self.fetched = 0
        self.known: list[bytes] = []
        self.stamped: dict[bytes, bytes] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take(self, digest: bytes) -> bytes:
        """A digest's stamp with the promise; the nonce keeps the neighbours in the batch from guessing it."""
        with self.lock:
            return self._take(digest)

    def _take(self, digest: bytes) -> bytes:
        self.asked.append(digest)
        number = (1_800_000_000 + len(self.asked)).to_bytes(4, "big")
        way = [Operation(APPEND, os.urandom(16)), Operation(SHA256), Operation(PREPEND, number)]
        before = chain_of(digest, way, pending(self.url)).pending()[0][0]
        way.append(Operation(APPEND, hmac.digest(self.key, before, "sha256")[:8]))
        stamp = chain_of(digest, way, pending(self.url))
        self.known.append(stamp.pending()[0][0])
        return stamp.encode()

    @property
    def waiting(self) -> list[bytes]:
        """What is in no block (any more)."""
        return [message for message in self.known if message not in self.stamped]

    def stamp(self, *others: bytes) -> int:
        """Put what waits into a new block, after other transactions; the block's height."""
        with self.lock:
            batch = self.waiting
            tip, ways = merkle_ways(batch)
            raw = self.chain.carrying(tip)
            height = self.chain.mine(*others, raw)
            into = way_into_block(self.chain, height, raw, tip, 1 + len(others))
            for message, way in zip(batch, ways, strict=True):
                self.stamped[message] = chain_of(message, way + into, bitcoin(height)).encode()
            return height

    def forget(self) -> None:
        """Lose everything, as a calendar does that comes back from an old backup."""
        self.known.clear()
        self.stamped.clear()

    def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path != "/digest" or not 0 < len(body) <= 64:
            return 400, b"digest too long"
        return 200, self.take(body)

    def _get(self, path: str) -> tuple[int, bytes]:
        self.fetched += 1
        message = bytes.fromhex(path.removeprefix("/timestamp/"))
        if message in self.stamped:
            return 200, self.stamped[message]
        return 404, b"Pending confirmation in Bitcoin blockchain" if message in self.known else b"Not found"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        calendar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one packet: in two, each waits for the other end's word

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send(calendar.broken or calendar._post(self.path, body))

            def do_GET(self) -> None:
                self.send(calendar.broken or calendar._get(self.path))

            def send(self, answer: tuple[int, bytes]) -> None:
                status, body = answer
                self.send_response(status)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silent."""

        return Handler
