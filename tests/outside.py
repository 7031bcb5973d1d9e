"""A time-stamp authority and a witness that a test serves over HTTP on loopback.

The authority is ``openssl ts -reply``; the witness is written from c2sp.org/tlog-witness and as strict as it says.
Both can be taken away and made to misbehave. ``tests/node/test_other_witness.py`` runs a witness of other people's.
"""

from __future__ import annotations

import subprocess
import threading
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from chain.checkpoint import Checkpoint, CheckpointError, verify_consistency
from chain.cosignature import TYPE_COSIGNATURE, TYPE_LOG, Note, NoteError, cosign, key_id, origin_of, verifier_key
from chain.crypto import SigningKey, verify
from tests import certificates as made
from tests.certificates import Holder

QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"


class Reply(NamedTuple):
    """What a service answers."""

    status: int
    media_type: str
    body: bytes


class Served:
    """A service on a port of its own, from ``with`` on; the same port again after ``stop`` and ``start``."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0
        self.instead: Callable[[Reply], Reply] | None = None
        """Makes another answer of the right one."""
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/"

    def answer(self, path: str, _media_type: str, body: bytes) -> Reply:
        """The right answer to one request."""
        raise AssertionError(f"nobody answers {path} with {body!r}")

    def start(self) -> None:
        """Serve."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.asked += 1
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = service.answer(self.path, self.headers.get("content-type", ""), body)
                if service.instead is not None:
                    reply = service.instead(reply)
                self.send_response(reply.status)
                self.send_header("content-type", reply.media_type)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """An outage."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class LocalAuthority(Served):
    """RFC 3161 over HTTP by ``openssl ts -reply``; its policy says that it is for trials unless told otherwise."""

    def __init__(self, folder: Path, *, policy: str = made.TRIAL_POLICY, root: Holder | None = None) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self.root = root or made.root()
        signer = made.authority(self.root)
        self._folder = folder
        self._lock = threading.Lock()
        (folder / "signer.pem").write_bytes(signer.pem)
        (folder / "signer.key").write_bytes(signer.key_pem)
        (folder / "root.pem").write_bytes(self.root.pem)
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG.format(policy=policy))

    def stamp(self, data: bytes) -> bytes:
        """The TimeStampResp for these bytes."""
        query = subprocess.run(
            ["openssl", "ts", "-query", "-data", "/dev/stdin", "-sha256", "-cert"],
            input=data, capture_output=True, check=True,
        )  # fmt: skip
        return self.answer("/", QUERY, query.stdout).body

    def answer(self, path: str, _media_type: str, body: bytes) -> Reply:
        """The time-stamp response to a request."""
        if path != "/" or _media_type != QUERY:
            return Reply(400, "text/plain", b"not a time-stamp request\n")
        with self._lock:
            (self._folder / "query.tsq").write_bytes(body)
            subprocess.run(
                ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr"],
                cwd=self._folder, capture_output=True, check=True,
            )  # fmt: skip
            return Reply(200, REPLY, (self._folder / "reply.tsr").read_bytes())


class LocalWitness(Served):
    """tlog-witness: cosigns what is signed by a known key and only grew from what it cosigned last."""

    def __init__(self, name: str, key: SigningKey, log_keys: dict[str, list[bytes]]) -> None:
        """log_keys: origin → public keys."""
        super().__init__()
        self.name = name
        self.key = key
        self.log_keys = log_keys
        self.latest: dict[str, Checkpoint] = {}
        self.late = 0
        """Seconds that its clock is ahead."""
        self._lock = threading.Lock()

    @property
    def verifier_key(self) -> str:
        """What it publishes."""
        return verifier_key(self.name, TYPE_COSIGNATURE, self.key.public)

    def answer(self, path: str, _media_type: str, body: bytes) -> Reply:
        """The answer to ``add-checkpoint``."""
        if path != "/add-checkpoint":
            return Reply(404, "text/plain", b"no such call\n")
        with self._lock:
            return self._add(body)

    def _add(self, body: bytes) -> Reply:
        try:
            head, _, signed = body.partition(b"\n\n")
            first, *proof = head.decode("ascii").split("\n")
            old = int(first.removeprefix("old "))
            path = [b64decode(line, validate=True) for line in proof]
            note = Note.parse(signed)
            checkpoint = Checkpoint.parse(note.text)
            if first != f"old {old}" or old < 0 or len(path) > 63:
                raise ValueError
        except (ValueError, Base64Error, NoteError, CheckpointError):
            return Reply(400, "text/plain", b"malformed\n")
        origin = origin_of(checkpoint)
        if origin not in self.log_keys:
            return Reply(404, "text/plain", b"unknown log\n")
        keys = {(origin, key_id(origin, TYPE_LOG, public)): public for public in self.log_keys[origin]}
        known = [(keys[line[:2]], line.signature) for line in note.lines if line[:2] in keys]
        if not known or not all(verify(public, note.text, signature) for public, signature in known):
            return Reply(403, "text/plain", b"no signature of this log\n")
        if old > checkpoint.size:
            return Reply(400, "text/plain", b"old size is larger\n")
        latest = self.latest.get(origin)
        size = 0 if latest is None else latest.size
        if old != size:
            return Reply(409, "text/x.tlog.size", b"%d\n" % size)
        if latest is None:
            grew = not path
        else:
            grew = verify_consistency(old, latest.root, checkpoint.size, checkpoint.root, path)
        if not grew:
            return Reply(422, "text/plain", b"not consistent\n")
        self.latest[origin] = checkpoint
        line = cosign(note.text, self.name, self.key, int(time.time()) + self.late)
        return Reply(200, "text/plain", line.text.encode())


_CONFIG: Final = """\
[tsa]
default_tsa = local
[local]
serial = serial
crypto_device = builtin
signer_cert = signer.pem
signer_key = signer.key
certs = root.pem
signer_digest = sha256
default_policy = {policy}
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
ordering = yes
tsa_name = yes
ess_cert_id_chain = yes
"""
