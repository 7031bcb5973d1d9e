"""A reader's way to a document of another member: found, checked, opened with the reader's own encryption key.

Nothing is kept: the bytes stand in memory until they are whole and true, and are handed on or forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from chain import merkle
from chain.crypto import SigningKey
from node.custody.book import Book
from node.custody.calls import CallError, WrongAnswerError
from node.custody.errors import CustodyError
from node.custody.messages import MAX_PIECE, GetKeys, GetPiece, Keys, Locate, Piece, Place
from node.custody.puller import Ask
from node.custody.server import InThread
from node.documents import MAX_DOCUMENT
from node.envelope import OVERHEAD, Entry, EnvelopeError, KeyList, check_document, copy_root, open_copy

FINAL: Final = ("READER_REVOKED", "NOT_A_READER")
"""Refusals that say more than that a source has nothing; the first of them is what a reader is told in the end."""

CheckKeys: TypeAlias = Callable[[str, int, KeyList], Awaitable[None]]


class Fetcher:
    """Fetches documents for this node's member. keys: its encryption keys, newest first."""

    def __init__(
        self,
        book: Book,
        ask: Ask,
        in_thread: InThread,
        keys: Sequence[SigningKey],
        check_keys: CheckKeys,
        member: str,
    ) -> None:
        self._book = book
        self._ask = ask
        self._in_thread = in_thread
        self._keys = tuple(keys)
        self._check_keys = check_keys
        self._member = member

    async def fetch(self, chain: str, name: bytes) -> bytes:
        """The document of a name, from the chain's member or, where that does not serve it, from its custodians.

        Raises CustodyError: NO_ENCRYPTION_KEY, UNKNOWN_CHAIN, READER_REVOKED, NOT_A_READER, NOT_FOUND.
        """
        if not self._keys:
            raise CustodyError("NO_ENCRYPTION_KEY", "this node opens no documents: set keys.encryption in node.toml")
        if chain not in self._book.members():
            raise CustodyError("UNKNOWN_CHAIN", f"there is no chain {chain!r}: see `tally query chains`")
        problems: list[CallError | CustodyError] = []
        for source in dict.fromkeys((chain, *self._book.custodians(chain))):
            if source == self._member:
                continue
            try:
                return await self._from(source, chain, name)
            except (CallError, CustodyError) as error:
                problems.append(error)
                if error.code == "READER_REVOKED":
                    break
        for code in FINAL:
            for problem in problems:
                if problem.code == code:
                    raise CustodyError(code, str(problem))
        said = "; ".join(f"{problem.code} {problem}" for problem in problems) or "nobody to ask"
        raise CustodyError(
            "NOT_FOUND", f"document {name.hex()} of {chain} cannot be had now ({said}): try again later"
        )

    async def _from(self, source: str, chain: str, name: bytes) -> bytes:
        place = await self._ask(source, Locate(chain, name), Place)
        row = self._book.deposit(chain, place.deposit)
        root = None if row is None else row.roots.get(place.holder)
        leaf = Entry(name, place.size, place.root).leaf
        if row is None or root is None or not merkle.verify(root, leaf, place.index, row.objects, list(place.path)):
            raise WrongAnswerError(source, "WRONG_ROOT", "what it offers is not what the chain has: not used")
        if not OVERHEAD <= place.size <= MAX_DOCUMENT + OVERHEAD:
            raise WrongAnswerError(
                source, "WRONG_SIZE", f"offers {place.size} bytes, which no document has: not used"
            )
        keys = await self._key_list(source, chain, place.deposit)
        if not keys.reads("member", self._member, name):  # a custodian is served, though it may not open anything
            raise CustodyError("NOT_A_READER", f"{self._member} is no reader of it: ask {chain} to name it")
        copy = await self._copy(source, chain, place)
        return await self._in_thread(self._opened, source, place, keys, name, copy)

    async def _key_list(self, source: str, chain: str, number: int) -> KeyList:
        reply = await self._ask(source, GetKeys(chain, number), Keys)
        try:
            keys = await self._in_thread(KeyList.decode, reply.keys)
            await self._check_keys(chain, number, keys)
        except (CustodyError, EnvelopeError) as error:
            raise WrongAnswerError(source, error.code, str(error)) from None
        return keys

    async def _copy(self, source: str, chain: str, place: Place) -> bytes:
        """The holder's copy, piece by piece: the next one may be refused, then nothing of it stays."""
        parts: list[bytes] = []
        offset = 0
        while offset < place.size:
            length = min(MAX_PIECE, place.size - offset)
            request = GetPiece(chain, place.deposit, place.holder, place.index, offset, length)
            data = (await self._ask(source, request, Piece)).data
            if len(data) != length:
                raise WrongAnswerError(
                    source, "WRONG_SIZE", f"sent {len(data)} bytes where {length} belong: not used"
                )
            parts.append(data)
            offset += length
        return b"".join(parts)

    def _opened(self, source: str, place: Place, keys: KeyList, name: bytes, copy: bytes) -> bytes:
        if copy_root(copy) != place.root:
            raise WrongAnswerError(source, "WRONG_HASH", "sent bytes that are not what the chain has: not used")
        try:
            key = keys.object_key(name, self._keys)
            if key is None:
                raise CustodyError(
                    "NO_KEY", "the key list names this member, but none of its keys here: put back keys.encryption"
                )
            data = open_copy(key, place.holder, copy)
            check_document(name, data)
        except EnvelopeError as error:
            raise WrongAnswerError(source, error.code, str(error)) from None
        return data
