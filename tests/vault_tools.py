"""For tests of the vault: one in a folder with a clock by hand, what must hold of any, and a kill at each write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from chain.crypto import SigningKey
from chain.store import LevelStore
from node.vault import Copies, Incoming, Item, Vault

KEY: Final = SigningKey(b"e" * 32)
CUSTODIANS: Final = ("guarantor", "lender", "procurement")
MEMBER: Final = "erp"


class Home:
    """A vault's place: ``now`` is its clock, in seconds."""

    def __init__(self, folder: Path, url: str = "", **options: Any) -> None:
        self.folder, self.url, self.options = folder, url or str(folder / "store"), options
        self.now = 0.0

    def open(self, *keys: SigningKey) -> Vault:
        return Vault.open(
            self.url, self.folder / "local", keys or (KEY,), member=MEMBER, clock=lambda: self.now, **self.options
        )


def documents(count: int, size: int = 300, first: int = 0) -> list[bytes]:
    """Different documents, the same each time."""
    return [f"document {number} ".encode().ljust(size, b".") for number in range(first, first + count)]


def items(datas: Iterable[bytes], *kinds: str) -> list[Item]:
    return [Item(data, kinds or ("invoice",)) for data in datas]


def name_of(data: bytes) -> bytes:
    return sha256(data).digest()


def receive(incoming: Incoming, copy: Callable[[int], bytes], step: int = 200, until: int | None = None) -> int:
    """Hand over what is wanted, ``step`` bytes a time; how many times it took. until: stop after so many."""
    count = 0
    while incoming.position[0] < len(incoming.manifest.entries) and count != until:
        index, offset = incoming.position
        incoming.write(index, offset, copy(index)[offset : offset + step])
        count += 1
    return count


def hold(copies: Copies, owner: Vault, number: int, holder: str) -> None:
    """Take a deposit of ``owner`` in, object by object."""
    incoming = copies.incoming(owner.manifest(number, holder))
    receive(incoming, lambda index: owner.copy(number, index, holder), step=1 << 20)
    incoming.finish()


def check_whole(vault: Vault) -> None:
    """Whatever a vault says it has is right: each document of a deposit, and roots over the copies it makes."""
    for deposit in vault.ready():
        made = vault.roots(deposit.id, CUSTODIANS)
        assert made.roots is not None
        assert set(made.roots) == set(CUSTODIANS)
    for number, deposit in enumerate(vault.ready()):
        vault.numbered(deposit.id, 1_000 + number)
        known = vault.deposit(1_000 + number)
        assert known is not None
        assert known.roots is not None
        manifest = vault.manifest(1_000 + number, "lender")
        assert (manifest.root, len(manifest.entries)) == (known.roots["lender"], known.objects)
        assert manifest.size == known.size


def killed_at(point: int, work: Callable[[Callable[[bytes], None]], None]) -> tuple[list[bytes], bool]:
    """Run ``work`` in a process of its own that ends, without a word, at its ``point``-th write or flush; a write
    that is broken off leaves half of its bytes. ``work`` is given a function to acknowledge names with: those, and
    whether it came to its end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            _arm(point)
            work(lambda name: _tell(writer, name))
            _WRITE(writer, b"end")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    ended = said.endswith(b"end")
    names = said.removesuffix(b"end")
    return [names[at : at + 32] for at in range(0, len(names), 32)], ended


_WRITE: Final = os.write


def _tell(writer: int, name: bytes) -> None:
    _WRITE(writer, name)


def _arm(point: int) -> None:
    """In the child only: every way bytes get onto the disk counts, and the last one ends the process."""
    left = [point]

    def counted(real: Callable[..., Any], half: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                if half is not None:
                    half(*args)
                os._exit(9)
            left[0] -= 1
            return real(*args, **kwargs)

        return call

    def half_write(descriptor: int, data: Any) -> None:
        _WRITE(descriptor, bytes(data)[: len(data) // 2])

    os.write = counted(os.write, half_write)
    os.fsync = counted(os.fsync)
    os.truncate = counted(os.truncate)
    Path.replace = counted(Path.replace)  # type: ignore[method-assign]  # the point of it
    LevelStore.write = counted(LevelStore.write)  # type: ignore[method-assign]  # the point of it
