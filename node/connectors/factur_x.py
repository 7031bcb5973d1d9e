"""Factur-X and ZUGFeRD 2: the CII invoice inside a PDF/A-3 → one "invoice" or "credit_note" (``cii.py`` reads it).

The drawn pages are never read: a PDF without its XML is refused, and so is one that needs a password. The library
``factur-x`` finds the attachment, in a process of its own that is given 20 seconds and 1 GiB (``pdf_worker.py``).
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from lxml import etree

from node.connectors import cii, strict_xml
from node.connectors.draft import RecordDraft
from node.connectors.errors import ConnectorError, shown
from node.connectors.pdf_worker import DAMAGED, ENCRYPTED, FOUND, LENGTH, NO_XML

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_SECONDS: Final = 20.0

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_REFUSALS: Final = {
    NO_XML: ("MISSING", "the PDF has no invoice XML in it", "export it as Factur-X, or take in the XML"),
    ENCRYPTED: ("BAD_PDF", "the PDF is encrypted", "save it without a password and take it in again"),
}


def looks_like_pdf(data: bytes) -> bool:
    """Whether the file starts as a PDF does."""
    return data.startswith(b"%PDF-")


def read_bytes(data: bytes) -> list[RecordDraft]:
    """The draft of the invoice inside a PDF. Raises ConnectorError."""
    root = strict_xml.parse(extract(data))
    if not cii.matches(root):
        raise ConnectorError(
            "NOT_SUPPORTED",
            f"the XML in the PDF is {shown(etree.QName(root).localname)}, no {cii.ROOT} (D16B)",
            "export it as Factur-X or ZUGFeRD 2",
        )
    return cii.read(root)


def extract(data: bytes, seconds: float = MAX_SECONDS) -> bytes:
    """The XML inside a PDF. seconds: until it is given up. Raises ConnectorError TOO_LARGE, BAD_PDF or MISSING."""
    if len(data) > MAX_BYTES:
        raise ConnectorError("TOO_LARGE", f"{len(data)} bytes", f"at most {MAX_BYTES} bytes of a PDF are read")
    status, payload = _WORKER.ask(data, seconds)
    if status == FOUND:
        return payload
    if status in _REFUSALS:
        raise ConnectorError(*_REFUSALS[status])
    reason = shown(payload.decode("utf-8", "replace"), quote=False)
    raise ConnectorError("BAD_PDF", f"the PDF cannot be read ({reason})", "get a whole copy from its sender")


class _Worker:
    """The one child process, started when it is first needed, started anew after it was killed or died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, data: bytes, seconds: float) -> tuple[bytes, bytes]:
        """(status, payload) of one PDF; DAMAGED where the child died over it twice or had no answer in time.

        Twice, because a child may have been killed from outside while no file was at fault.
        """
        with self._lock:
            for _ in range(2):
                try:
                    return _exchange(self._running(), data, time.monotonic() + seconds)
                except TimeoutError:
                    self.stop()
                    return DAMAGED, f"no end after {seconds:g} s".encode()
                except OSError:
                    self.stop()
            return DAMAGED, b"the reader ran out of memory or crashed"

    def stop(self) -> None:
        """End the child, if this process has started one."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        # A forked process must not talk to its parent's child.
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.stop()
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from node.connectors.pdf_worker import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # the Ctrl-C of the terminal is for the program, which then ends the child
                env=_environment(),
            )
        return self._process


def _environment() -> dict[str, str]:
    """What the child needs to find Python and this code; no other variable, which may be a secret."""
    needed = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if name in os.environ}
    return {**needed, "PYTHONPATH": os.pathsep.join(filter(None, [_ROOT, needed.get("PYTHONPATH")]))}


_WORKER: Final = _Worker()
atexit.register(_WORKER.stop)


def _exchange(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Send one request, await its response. Raises TimeoutError, OSError where the child is gone."""
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipes")
    output, incoming = process.stdin.fileno(), process.stdout.fileno()
    waiting = memoryview(LENGTH.pack(len(data)) + data)
    while waiting:
        _await(output, select.POLLOUT, deadline)
        waiting = waiting[os.write(output, waiting[: select.PIPE_BUF]) :]
    status = _receive(incoming, 1, deadline)
    (length,) = LENGTH.unpack(_receive(incoming, LENGTH.size, deadline))
    return status, _receive(incoming, length, deadline)


def _receive(source: int, length: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < length:
        _await(source, select.POLLIN, deadline)
        part = os.read(source, length - len(received))
        if not part:
            raise OSError("the child is gone")
        received += part
    return bytes(received)


def _await(pipe: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1_000):
        raise TimeoutError
