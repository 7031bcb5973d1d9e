"""The vault put together: key, index and files; deposits with roots, copies and numbers; coming back from custody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from chain.crypto import SigningKey, hash_value
from node.documents import DocumentError
from node.envelope import (
    DepositSecret,
    Entry,
    EnvelopeError,
    Manifest,
    copy_root,
    copy_size,
    make_copy,
    object_key,
    open_copy,
)
from node.vault.copies import Copies
from node.vault.files import Files
from node.vault.index import ID_SIZE, RESERVE, Deposit, Index, roots_rows
from node.vault.keyring import KEY_FILE, MAX_KEY_FILE, VaultKey, sealed_for
from node.vault.own import Item, Own, Sealed
from node.vault.segments import MAX_SEGMENT, folder_name

INDEX_FOLDER: Final = "index"
STAGING_FOLDER: Final = "incoming"


class Vault:
    """One member's documents under one fsspec URL, with an index and incoming copies in a local folder.

    copies: what this node holds for other members' chains (and, while restoring, for its own).
    """

    copies: Copies

    def __init__(
        self,
        member: str,
        files: Files,
        index: Index,
        staging: Path,
        key: VaultKey | None,
        clock: Callable[[], float],
        reserve: int,
    ) -> None:
        """Use `open`."""
        self._member = member
        self._files, self._index, self._key = files, index, key
        self._own = None if key is None else Own(files, index, key, clock)
        self._configured: tuple[bytes, ...] = ()
        self.copies = Copies(files, index, staging, reserve)

    @classmethod
    def open(
        cls,
        url: str,
        local: Path,
        keys: Sequence[SigningKey],
        *,
        member: str,
        clock: Callable[[], float] = time.monotonic,
        reserve: int = RESERVE,
        **options: Any,
    ) -> Vault:
        """``member``: whose vault; ``keys``: its encryption keys, newest first; without any, documents are refused
        (NO_ENCRYPTION_KEY) while copies for others are held all the same. clock: seconds. reserve: bytes beside the
        index that others' copies leave free. options go to fsspec. An
        index that was lost is made again out of the store. A store that is away (a node must be able to vote without
        its documents) is an error at the very first start only; later on, of each call that needs it.

        Raises DocumentError: NO_KEY (none of the keys opens this vault), STORE_MISMATCH (the index belongs to
        documents elsewhere), STORE_FULL, STORE_FAILED, DOCUMENT_DAMAGED.
        """
        files = Files(url, **options)
        index = Index(local / INDEX_FOLDER)
        try:
            there = _is_there(files, first=bool(keys) and index.get(b"k") is None)
            key = None
            if keys:
                key = _open_key(files, index, keys) if there else VaultKey.open(index.get(b"k") or b"", keys)
            vault = cls(member, files, index, local / STAGING_FOLDER, key, clock, reserve)
            if there:
                vault._adopt()
        except BaseException:
            index.close()
            raise
        vault._configured = tuple(key.public for key in keys)
        return vault

    def close(self) -> None:
        """Let go of the index. No other call may be under way."""
        self._index.close()

    def rewrap(self, publics: Iterable[bytes]) -> None:
        """Seal the vault key to these encryption keys (all that are valid, offline ones too) and to the configured
        ones, and to no other. Documents stay as they are. Raises DocumentError, EnvelopeError NO_ENCRYPTION_KEY."""
        _, key = self._opened()
        wanted = list(dict.fromkeys([*self._configured, *publics]))
        row = self._index.get(b"k")
        if row is None or set(sealed_for(row)) != set(wanted):
            _write_key(self._files, self._index, key.sealed_to(wanted))

    # -- documents --------------------------------------------------------------------------------------

    def put(self, data: bytes, kinds: tuple[str, ...] = ("*",)) -> bytes:
        """Keep one raw document; its SHA-256. DocumentError as `put_many`."""
        return self.put_many([Item(data, kinds)])[0]

    def put_many(self, items: Sequence[Item]) -> list[bytes]:
        """Keep documents, all durable when this returns; their names in order.

        What is known already stays as it is (its kinds too), but damage is repaired. DocumentError:
        NO_ENCRYPTION_KEY, TOO_LARGE, WRONG_HASH, STORE_FULL, STORE_FAILED (some may have been kept then: put all of
        them again).
        """
        return self._opened()[0].put_many(items)

    def has(self, name: bytes) -> bool:
        """Whether a document is here; its bytes are checked by `get` only."""
        return self._index.place(name) is not None

    def get(self, name: bytes) -> bytes:
        """A document. DocumentError: DOCUMENT_MISSING, DOCUMENT_DAMAGED, STORE_FAILED, NO_ENCRYPTION_KEY."""
        return self._opened()[0].get(name)

    # -- deposits ---------------------------------------------------------------------------------------

    def ready(self) -> list[Deposit]:
        """Deposits that take no more objects and have no number yet."""
        return [] if self._own is None else self._own.closed()

    def roots(self, deposit: bytes, custodians: Sequence[str]) -> Deposit:
        """Make every custodian's copies once for their roots, which are kept: asked again for the same custodians,
        they are at hand. Submit custody.deposit after this; equal roots on the chain mean that it got there.

        DocumentError: UNKNOWN_DEPOSIT, DOCUMENT_DAMAGED and DOCUMENT_MISSING (take the file in again).
        """
        own, _ = self._opened()
        known = self._known(deposit)
        if known.roots is not None and set(known.roots) == set(custodians):
            return known
        objects = self._index.objects(deposit)
        found = self._copy_roots(own, known.secret.key, objects, custodians)
        roots = {custodian: _root(objects, found[custodian]) for custodian in custodians}
        gone: list[tuple[bytes, bytes | None]] = [
            (b"c" + deposit + custodian.encode(), None) for custodian in known.roots or () if custodian not in roots
        ]
        return own.note(deposit, *gone, *roots_rows(deposit, found), roots=roots)

    def numbered(self, deposit: bytes, number: int) -> None:
        """The deposit stands on the chain under this number. DocumentError UNKNOWN_DEPOSIT."""
        own, _ = self._opened()
        own.note(deposit, (b"n" + number.to_bytes(8, "big"), deposit), (b"w" + deposit, None), number=number)

    def recognise(self, number: int, objects: int, size: int, roots: Mapping[str, bytes]) -> Deposit | None:
        """The deposit that stands on the chain under a number unknown here, if it is one of those without a number: a
        crash came between submitting and noting, or the index was made again. It is `numbered` then."""
        for known in self.ready():
            if (known.objects, known.size) != (objects, size):
                continue
            with suppress(DocumentError):  # one with damaged documents is none that can be recognised
                if self.roots(known.id, sorted(roots)).roots == roots:  # kept: for the next number they are at hand
                    self.numbered(known.id, number)
                    return self.deposit(number)
        return None

    def deposit(self, number: int) -> Deposit | None:
        """The deposit of a number of the own chain, None where it is not (or not wholly) here."""
        identity = self._index.numbered(number)
        return None if identity is None else self._known(identity)

    def deposits(self) -> Iterator[Deposit]:
        """All with a number, ascending."""
        for _, identity in self._index.numbers():
            yield self._known(identity)

    def numbers(self) -> list[int]:
        """Numbers of all that have one, ascending."""
        return [number for number, _ in self._index.numbers()]

    def place(self, name: bytes) -> tuple[int, int] | None:
        """(deposit number, index) of a document, None while it has none."""
        place = self._index.place(name)
        if place is None:
            return None
        number = self._known(place.deposit).number
        return None if number is None else (number, place.place)

    def manifest(self, number: int, custodian: str) -> Manifest:
        """What a custodian of the own chain is to hold. DocumentError UNKNOWN_DEPOSIT (no root was made for it)."""
        identity = self._index.numbered(number)
        roots = None if identity is None else self._index.copy_roots(identity, custodian)
        if identity is None or roots is None:
            raise DocumentError(
                "UNKNOWN_DEPOSIT", f"deposit {number} has no copies for {custodian}: look on the chain"
            )
        entries = zip(self._index.objects(identity), roots, strict=True)
        return Manifest(
            self._member, number, custodian, tuple(Entry(name, size, root) for (name, size), root in entries)
        )

    def copy(self, number: int, index: int, custodian: str) -> bytes:
        """A custodian's copy of an object, made now. DocumentError: UNKNOWN_DEPOSIT, and as `get`."""
        own, _ = self._opened()
        known = self.deposit(number)
        found = None if known is None else self._index.object(known.id, index)
        if known is None or found is None:
            raise DocumentError("UNKNOWN_DEPOSIT", f"there is no object {index} in a deposit {number}: look again")
        return make_copy(object_key(known.secret.key, found[0]), custodian, own.get(found[0]))

    def recover(
        self, manifest: Manifest, secret: DepositSecret, roots: Mapping[str, bytes], copy: Callable[[int], bytes]
    ) -> None:
        """Take back a deposit of the own chain, or what is missing or damaged of one.

        ``manifest`` and ``copy(index)`` are a holder's, asked only for objects that are not here; roots: as on the
        chain. Broken off, it is called again. DocumentError: WRONG_HASH (a copy that does not open), STORE_FULL, ….
        """
        own, _ = self._opened()
        identity = self._index.numbered(manifest.number) or _restored_id(secret.key, manifest.number)
        deposit = Deposit(identity, secret, len(manifest.entries), manifest.size, manifest.number)
        batch: list[Sealed] = []
        for index, entry in enumerate(manifest.entries):
            sealed = self._recovered(own, deposit, index, entry, manifest.holder, copy)
            if sealed is not None:
                batch.append(sealed)
            if sum(len(row.data) for row in batch) >= MAX_SEGMENT:
                own.write(batch)
                batch = []
        if batch:
            own.write(batch)
        own.note(
            identity,
            (b"n" + manifest.number.to_bytes(8, "big"), identity),
            (b"w" + identity, None),
            number=manifest.number,
            objects=len(manifest.entries),
            size=manifest.size,
        )
        self.roots(identity, sorted(roots))

    # -- inside -----------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        if self._own is not None:
            self._own.adopt()
        self.copies.adopt()

    def _opened(self) -> tuple[Own, VaultKey]:
        if self._own is None or self._key is None:
            said = "this node has no encryption key, so it keeps no documents: make one and set keys.encryption"
            raise DocumentError("NO_ENCRYPTION_KEY", said)
        return self._own, self._key

    def _known(self, identity: bytes) -> Deposit:
        _, key = self._opened()
        found = self._index.deposit(identity, key)
        if found is None:
            raise DocumentError("UNKNOWN_DEPOSIT", f"no deposit {identity.hex()} in these documents: look again")
        return found

    def _copy_roots(
        self, own: Own, secret: bytes, objects: Sequence[tuple[bytes, int]], custodians: Iterable[str]
    ) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {custodian: [] for custodian in custodians}
        for name, _ in objects:
            data, key = own.get(name), object_key(secret, name)
            for custodian, roots in found.items():
                roots.append(copy_root(make_copy(key, custodian, data)))
        return found

    def _recovered(
        self, own: Own, deposit: Deposit, index: int, entry: Entry, holder: str, copy: Callable[[int], bytes]
    ) -> Sealed | None:
        """An object taken back, None where it is here in its place already."""
        there = self._index.object(deposit.id, index)
        with suppress(DocumentError):
            data = own.get(entry.name)
            if there is not None:
                return None
            return Sealed(entry.name, b"", len(data), where=(deposit, index))
        try:
            data = open_copy(object_key(deposit.secret.key, entry.name), holder, copy(index))
        except EnvelopeError as error:
            raise DocumentError("WRONG_HASH", str(error)) from None
        if copy_size(len(data)) != entry.size:
            raise DocumentError("WRONG_HASH", f"a copy of {holder} is not what it was said to be: ask another holder")
        return own.seal(entry.name, data, where=(deposit, index))


def _is_there(files: Files, *, first: bool) -> bool:
    """Whether the store answers. Raises DocumentError STORE_FAILED where it does not and this is the first start."""
    try:
        files.exists(KEY_FILE)
    except DocumentError:
        if first:
            raise
        return False
    return True


def _open_key(files: Files, index: Index, keys: Sequence[SigningKey]) -> VaultKey:
    """The vault key, made at the very first start; sealed to every configured key from then on."""
    stored = files.read(KEY_FILE, 0, MAX_KEY_FILE) if files.exists(KEY_FILE) else None
    noted = index.get(b"k")
    if stored is None and (index.next_segment() or files.names(folder_name(0))):
        if noted is None or not files.names(folder_name(0)):
            said = f"{files.url} does not hold the documents of this node's index: point `documents` at them, or move"
            raise DocumentError("STORE_MISMATCH", f"{said} the index away and run `tally custody restore`")
        stored = noted
    if stored is None:
        key = VaultKey.make()
        _write_key(files, index, key.sealed_to(key.public for key in keys))
        return key
    vault_key = VaultKey.open(stored, keys)
    if noted is not None and index.next_segment() and not vault_key.made(noted, keys):
        said = f"{files.url} holds the documents of another index than this node's: point `documents` at its own"
        raise DocumentError("STORE_MISMATCH", said)
    missing = [key.public for key in keys if key.public not in sealed_for(stored)]
    if missing or stored != noted or not files.exists(KEY_FILE):
        data = vault_key.sealed_to([*missing, *sealed_for(stored)]) if missing else stored
        _write_key(files, index, data)
    return vault_key


def _write_key(files: Files, index: Index, data: bytes) -> None:
    files.write(KEY_FILE, data)
    index.write([(b"k", data)])


def _root(objects: Sequence[tuple[bytes, int]], roots: Sequence[bytes]) -> bytes:
    entries = (Entry(name, size, root) for (name, size), root in zip(objects, roots, strict=True))
    return Manifest("own", 0, "own", tuple(entries)).root


def _restored_id(secret: bytes, number: int) -> bytes:
    """Local id of a deposit that comes back from custody: the same at each try."""
    return hash_value(["tally/restored", 1, secret, number])[:ID_SIZE]
