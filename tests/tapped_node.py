"""A node as a process, as ``python -m node``, that keeps every byte its streams carry, in the clear.

``python -m tests.tapped_node NODE.TOML`` writes what each stream sends and receives, before Noise encrypts it and
after it is decrypted, to a file of its own in ``wire/`` beside node.toml.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import BinaryIO

from libp2p.abc import INetStream

from node import network
from node.main import run

_numbers = itertools.count()


class TappedStream(network._Stream):
    """A stream with two files beside it."""

    def __init__(self, stream: INetStream) -> None:
        super().__init__(stream)
        number = next(_numbers)
        self._sent, self._received = (_file(f"{number:04}-{way}") for way in ("sent", "received"))

    async def write(self, data: bytes) -> None:
        self._sent.write(data)
        await super().write(data)

    async def read(self, count: int) -> bytes:
        data = await super().read(count)
        self._received.write(data)
        return data


def _file(name: str) -> BinaryIO:
    folder = Path("wire")
    folder.mkdir(exist_ok=True)
    return (folder / name).open("wb", buffering=0)


if __name__ == "__main__":
    network._Stream = TappedStream  # type: ignore[misc]  # what a tap is
    sys.exit(run(Path(sys.argv[1])))
