"""Copies held for other members: received resumably, kept whole, read for proofs, checked, deleted.

``copies/<chain>/<number>.<holder>`` is: 16 bytes of magic, 4 bytes of length (big-endian), the manifest, the copies
one after the other. The same file grows in a local folder while it is received. Nothing in it is readable without a
key.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

from node.documents import DocumentError, is_full, make_folder, write_all
from node.envelope import EnvelopeError, Manifest, Proof, RootHasher, copy_root
from node.vault.files import Files
from node.vault.index import Index

FOLDER: Final = "copies"
MANIFESTS_AT_HAND: Final = 64
FLUSHED: Final = 4 * 1024 * 1024
"""Bytes after which what came is flushed: a vote's own flush never waits behind gigabytes of it."""
HEADER_READ: Final = 64 * 1024
SMALL_LIST: Final = 16 * 1024
"""Bytes of a key list that is taken while room is short: a reader that was removed must be."""

_MAGIC: Final = b"tally/copies/1\n\0"


class _Known(NamedTuple):
    manifest: Manifest
    offsets: tuple[int, ...]
    """Where each copy begins in the file, and where the last one ends."""


class Incoming:
    """Copies of a deposit on their way to this holder; goes on after any kill at the byte where it was."""

    def __init__(self, manifest: Manifest, path: Path, copies: Copies) -> None:
        self.manifest = manifest
        self._path, self._copies = path, copies
        self._offsets = _offsets(manifest)
        self._index = 0
        self._hasher = RootHasher()
        self._size = self._begin()

    @property
    def position(self) -> tuple[int, int]:
        """(object, offset) of the next byte wanted; (number of objects, 0) when all are here."""
        if self._index == len(self.manifest.entries):
            return self._index, 0
        return self._index, self._size - self._offsets[self._index]

    def write(self, index: int, offset: int, data: bytes) -> None:
        """Take bytes of one object at the position. A whole object is checked: DocumentError WRONG_HASH (it is wanted
        again from its first byte), WRONG_SIZE, WRONG_PLACE, STORE_FULL, STORE_FAILED: then nothing was taken."""
        if (index, offset) != self.position or index == len(self.manifest.entries):
            said = f"bytes of object {index} at {offset} came, {self.position} are wanted: ask for those"
            raise DocumentError("WRONG_PLACE", said)
        if self._size + len(data) > self._offsets[index + 1]:
            size = self.manifest.entries[index].size
            said = f"more than the {size} bytes of object {index} came: take them from another holder"
            raise DocumentError("WRONG_SIZE", said)
        self._append(data)
        self._hasher.update(data)
        if self._size == self._offsets[index + 1]:
            self._complete(index)

    def finish(self) -> None:
        """All are here: keep them in the store, durable when this returns. Raises DocumentError WRONG_PLACE,
        STORE_FULL, STORE_FAILED: call it again later."""
        if self._index != len(self.manifest.entries):
            raise DocumentError("WRONG_PLACE", f"{self.position} are still wanted: ask for those")
        self._copies.keep(self.manifest, self._path)

    def abandon(self) -> None:
        """Forget what has come."""
        self._copies.forget(self.manifest, self._path)

    def _begin(self) -> int:
        """Size of what is there and right: whole objects are checked again, a power cut may have eaten at them."""
        front = _front(self.manifest)
        try:
            make_folder(self._path.parent)
            with self._path.open("a+b") as file:
                file.seek(0)
                if file.read(len(front)) != front:
                    file.truncate(0)
                    file.write(front)
                    return len(front)
                for index, entry in enumerate(self.manifest.entries):
                    right, read = self._read_entry(file.fileno(), index, entry.size)
                    if not right:
                        size = self._offsets[index] + read
                        file.truncate(size)
                        return size
                    self._index, self._hasher = index + 1, RootHasher()
                file.truncate(self._offsets[-1])
                return self._offsets[-1]
        except OSError as error:
            raise _failed(self._path, error) from None

    def _read_entry(self, descriptor: int, index: int, size: int) -> tuple[bool, int]:
        """Whether an object is there whole and right; else how many bytes of it are a beginning."""
        read = 0
        while read < size:
            part = os.pread(descriptor, min(1 << 20, size - read), self._offsets[index] + read)
            if not part:
                return False, read
            self._hasher.update(part)
            read += len(part)
        if self._hasher.root() == self.manifest.entries[index].root:
            return True, read
        self._hasher = RootHasher()
        return False, 0

    def _append(self, data: bytes) -> None:
        self._copies.check_room()
        try:
            descriptor = os.open(self._path, os.O_WRONLY)
            try:
                os.lseek(descriptor, self._size, os.SEEK_SET)
                write_all(descriptor, data)
                if (self._size + len(data)) // FLUSHED > self._size // FLUSHED:
                    os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _failed(self._path, error) from None
        self._size += len(data)

    def _complete(self, index: int) -> None:
        right = self._hasher.root() == self.manifest.entries[index].root
        self._hasher = RootHasher()
        if right:
            self._index = index + 1
            return
        self._size = self._offsets[index]
        try:
            os.truncate(self._path, self._size)
        except OSError as error:
            raise _failed(self._path, error) from None
        said = f"object {index} is not what the deposit's owner committed to: take it from another holder"
        raise DocumentError("WRONG_HASH", said)


class Copies:
    """Deposits held for others, by (chain, number, holder): holder says whose copy it is. Safe from many threads."""

    def __init__(self, files: Files, index: Index, staging: Path, reserve: int) -> None:
        """reserve: bytes that others' documents leave free on the disk that the node votes from."""
        self._files, self._index, self._staging, self._reserve = files, index, staging, reserve
        self._lock = threading.Lock()
        self._at_hand: OrderedDict[bytes, _Known] = OrderedDict()

    def incoming(self, manifest: Manifest) -> Incoming:
        """Begin to take, or go on taking, a deposit; the caller has checked manifest.root against the chain."""
        self.check_room()
        self._index.write([(b"i" + _key(manifest.chain, manifest.number, manifest.holder), manifest.encode())])
        return Incoming(manifest, self._staging / _file_name(manifest), self)

    def unfinished(self) -> list[Manifest]:
        """Manifests of what is on its way here."""
        return [Manifest.decode(row) for _, row in self._index.scan(b"i")]

    def abandon(self, manifest: Manifest) -> None:
        """What is on its way here is wanted no more: forget what has come of it."""
        self.forget(manifest, self._staging / _file_name(manifest))

    def list(self, chain: str | None = None) -> Iterator[tuple[str, int, str]]:
        """(chain, number, holder) of all that are held whole."""
        prefix = b"" if chain is None else chain.encode() + b"\0"
        for key, _ in self._index.scan(b"x" + prefix):
            yield _parts(prefix + key)

    def manifest(self, chain: str, number: int, holder: str) -> Manifest | None:
        """The manifest of what is held, None where it is not held."""
        known = self._known(_key(chain, number, holder))
        return None if known is None else known.manifest

    def read(self, chain: str, number: int, holder: str, index: int, offset: int, size: int) -> bytes:
        """Bytes of one copy, fewer at its end. DocumentError: DOCUMENT_MISSING, DOCUMENT_DAMAGED, STORE_FAILED."""
        known = self._held(chain, number, holder)
        entry = known.manifest.entries[index]
        wanted = max(0, min(size, entry.size - offset))
        data = self._files.read(_name(known.manifest), known.offsets[index] + offset, wanted)
        if len(data) != wanted:
            raise self._damaged(known.manifest, index)
        return data

    def copy(self, chain: str, number: int, holder: str, index: int) -> bytes:
        """One whole copy, checked. DocumentError: DOCUMENT_MISSING, DOCUMENT_DAMAGED, STORE_FAILED."""
        known = self._held(chain, number, holder)
        entry = known.manifest.entries[index]
        data = self.read(chain, number, holder, index, 0, entry.size)
        if copy_root(data) != entry.root:
            raise self._damaged(known.manifest, index)
        return data

    def prove(self, chain: str, number: int, holder: str, index: int, chunk: int) -> Proof:
        """A challenge's sample. DocumentError: DOCUMENT_MISSING, DOCUMENT_DAMAGED (report it lost), STORE_FAILED."""
        return self._held(chain, number, holder).manifest.prove(index, self.copy(chain, number, holder, index), chunk)

    def damaged(self, chain: str, number: int, holder: str) -> Iterator[tuple[int, bool]]:
        """Scrub: reads object after object, (index, whether it is damaged or missing). DocumentError STORE_FAILED."""
        for index in range(len(self._held(chain, number, holder).manifest.entries)):
            try:
                self.copy(chain, number, holder, index)
            except DocumentError as error:
                if error.code not in ("DOCUMENT_MISSING", "DOCUMENT_DAMAGED"):
                    raise
                yield index, True
            else:
                yield index, False

    def delete(self, chain: str, number: int, holder: str) -> None:
        """Hold it no longer."""
        key = _key(chain, number, holder)
        known = self._known(key)
        if known is not None:
            self._index.write([(b"x" + key, None)])
            with self._lock:
                self._at_hand.pop(key, None)
            self._files.delete(_name(known.manifest))

    def put_keys(self, chain: str, number: int, version: int, key_list: bytes) -> bool:
        """Keep a checked key list unless a newer one is here; whether it was kept. The owner's own lie here too."""
        key = b"y" + _chain_key(chain, number)
        if len(key_list) > SMALL_LIST:
            self.check_room()
        with self._lock:
            row = self._index.get(key)
            if row is not None and int.from_bytes(row[:8], "big") > version:
                return False
            self._index.write([(key, version.to_bytes(8, "big") + key_list)])
        return True

    def keys(self, chain: str, number: int) -> bytes | None:
        """The newest key list of a deposit."""
        row = self._index.get(b"y" + _chain_key(chain, number))
        return None if row is None else row[8:]

    # -- for Incoming -----------------------------------------------------------------------------------

    def check_room(self) -> None:
        """Raises DocumentError STORE_FULL while there is less room than is to be left free."""
        self._index.check_room(self._reserve)

    def keep(self, manifest: Manifest, path: Path) -> None:
        """The finished file becomes one of the store."""
        self._index.check_room()
        if path.exists():
            self._files.take(_name(manifest), path)
        elif not self._files.exists(_name(manifest)):  # it is there where a kill came between the two steps
            raise DocumentError("STORE_FAILED", f"{path} is gone: nothing else may delete there; it is taken again")
        self._note(manifest)

    def forget(self, manifest: Manifest, path: Path) -> None:
        """The unfinished file goes."""
        self._index.write([(b"i" + _key(manifest.chain, manifest.number, manifest.holder), None)])
        path.unlink(missing_ok=True)

    # -- inside -----------------------------------------------------------------------------------------

    def _note(self, manifest: Manifest) -> None:
        key = _key(manifest.chain, manifest.number, manifest.holder)
        self._index.write([(b"x" + key, manifest.encode()), (b"i" + key, None)])

    def _held(self, chain: str, number: int, holder: str) -> _Known:
        known = self._known(_key(chain, number, holder))
        if known is None:
            said = f"no copy of {holder} of deposit {number} of {chain} is held here: ask another holder"
            raise DocumentError("DOCUMENT_MISSING", said)
        return known

    def _known(self, key: bytes) -> _Known | None:
        with self._lock:
            found = self._at_hand.get(key)
            if found is not None:
                self._at_hand.move_to_end(key)
                return found
        row = self._index.get(b"x" + key)
        if row is None:
            return None
        manifest = Manifest.decode(row)
        found = _Known(manifest, _offsets(manifest))
        with self._lock:
            self._at_hand[key] = found
            while len(self._at_hand) > MANIFESTS_AT_HAND:
                self._at_hand.popitem(last=False)
        return found

    def adopt(self) -> None:
        """Take in what reached the store and was not noted down; with no row (a new index) all that is there."""
        for manifest in self.unfinished():
            if not (self._staging / _file_name(manifest)).exists() and self._files.exists(_name(manifest)):
                self._note(manifest)
        if next(self._index.scan(b"x"), None) is not None:
            return
        for chain in self._files.names(FOLDER):
            for name in self._files.names(f"{FOLDER}/{chain}"):
                found = self._read_front(f"{FOLDER}/{chain}/{name}")
                if found is not None and _name(found) == f"{FOLDER}/{chain}/{name}":
                    self._note(found)

    def _read_front(self, name: str) -> Manifest | None:
        front = self._files.read(name, 0, HEADER_READ)
        base = len(_MAGIC) + 4
        size = int.from_bytes(front[len(_MAGIC) : base], "big")
        if front[: len(_MAGIC)] != _MAGIC or size > HEADER_READ:
            return None
        front += self._files.read(name, len(front), base + size - len(front))
        try:
            return Manifest.decode(front[base : base + size])
        except EnvelopeError:
            return None

    def _damaged(self, manifest: Manifest, index: int) -> DocumentError:
        said = f"object {index} of {_name(manifest)} in {self._files.url} is damaged: it is taken from another holder"
        return DocumentError("DOCUMENT_DAMAGED", said)


def _front(manifest: Manifest) -> bytes:
    encoded = manifest.encode()
    return _MAGIC + len(encoded).to_bytes(4, "big") + encoded


def _offsets(manifest: Manifest) -> tuple[int, ...]:
    return tuple(accumulate((entry.size for entry in manifest.entries), initial=len(_front(manifest))))


def _file_name(manifest: Manifest) -> str:
    return f"{manifest.chain}/{manifest.number:010d}.{manifest.holder}"


def _name(manifest: Manifest) -> str:
    return f"{FOLDER}/{_file_name(manifest)}"


def _chain_key(chain: str, number: int) -> bytes:
    return chain.encode() + b"\0" + number.to_bytes(8, "big")


def _key(chain: str, number: int, holder: str) -> bytes:
    return _chain_key(chain, number) + holder.encode()


def _parts(key: bytes) -> tuple[str, int, str]:
    chain, _, rest = key.partition(b"\0")
    return chain.decode(), int.from_bytes(rest[:8], "big"), rest[8:].decode()


def _failed(path: Path, error: OSError) -> DocumentError:
    if is_full(error):
        return DocumentError("STORE_FULL", f"no space left at {path.parent}: free some; it goes on from there")
    return DocumentError("STORE_FAILED", f"{path} cannot be written ({error.strerror}): check its folder and disk")
