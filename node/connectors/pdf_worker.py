"""The child process in which a stranger's PDF is opened: bounded memory, only a pipe to it, killed when it hangs.

PDF is a language of its own, and a reader of it can be led into loops and bombs that no check before can see. So
``factur_x.py`` hands each file to this process and waits for a limited time. One process serves many files.

request:   4 bytes length, the PDF
response:  1 byte status, 4 bytes length, the payload: the XML for FOUND, else text for people
"""

from __future__ import annotations

import contextlib
import os
import resource
import struct
import sys
from typing import BinaryIO, Final

MAX_MEMORY: Final = 1024 * 1024 * 1024
"""Bytes of address space; the interpreter with its libraries needs a fifth of it."""

FOUND: Final = b"F"
NO_XML: Final = b"N"
ENCRYPTED: Final = b"E"
DAMAGED: Final = b"D"

LENGTH: Final = struct.Struct(">I")


def extract(data: bytes) -> tuple[bytes, bytes]:
    """(status, payload) for one PDF. Raises nothing: whatever the libraries raise is damage of the file."""
    from facturx import get_xml_from_pdf
    from pypdf.errors import DependencyError, FileNotDecryptedError, WrongPasswordError

    try:
        name, xml = get_xml_from_pdf(data, check_xsd=False, check_schematron=False)
    except (FileNotDecryptedError, WrongPasswordError, DependencyError):
        return ENCRYPTED, b""
    except Exception as error:  # pypdf raises its own errors, but KeyError, RecursionError and the like as well
        return DAMAGED, type(error).__name__.encode()
    return (FOUND, bytes(xml)) if name else (NO_XML, b"")


def serve(requests: BinaryIO, responses: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        status, payload = extract(requests.read(length))
        responses.write(status + LENGTH.pack(len(payload)) + payload)
        responses.flush()


def _confine() -> None:
    """No more memory than allowed, no file written, no process started, as far as the system can be told so."""
    for limit, most in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of address space
            resource.setrlimit(limit, (most, most))


def main() -> None:
    """Serve on standard input and output, confined."""
    _confine()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    serve(sys.stdin.buffer, answers)
