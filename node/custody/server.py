"""Answers other nodes' requests for documents: who may have what, judged anew at every request.

    the owner of a chain        everything of its chain, and it alone replaces key lists
    custodians of the chain     manifests, key lists, and anybody's copies: they are sealed, and heal each other
    readers                     where an object is, the key list, and pieces of the objects they may open
    other members               NOT_A_READER or NOT_A_CUSTODIAN; a reader no more: READER_REVOKED, at the next piece

A reader must stand in the deposit's newest key list, and still be named by the chain's rules at this node's head: so
a revocation holds as soon as this node has its block, before the owner has sealed a new list.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from chain import merkle
from node.custody.book import Book, DepositRow
from node.custody.errors import CustodyError
from node.custody.messages import (
    Chunks,
    Done,
    GetKeys,
    GetManifest,
    GetPiece,
    GetVersions,
    Keys,
    Listing,
    Locate,
    Piece,
    Place,
    Prove,
    PutKeys,
    Refused,
    Reply,
    Request,
)
from node.custody.shelf import Shelf
from node.documents import DocumentError
from node.envelope import EnvelopeError, KeyList

REMEMBERED: Final = 1024
"""Readers and deposits that were served, so that one that is revoked is told so."""

T = TypeVar("T")


class InThread(Protocol):
    """Runs a blocking function away from the loop."""

    async def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """Its result."""


KeysArrived: TypeAlias = Callable[[str, int, KeyList], Awaitable[None]]
"""Check and keep a key list that the owner sent. Raises CustodyError, EnvelopeError."""


class Server:
    """Serves from a shelf. ``serve`` never raises: what goes wrong is a refusal with its code."""

    def __init__(self, book: Book, shelf: Shelf, in_thread: InThread, keys_arrived: KeysArrived) -> None:
        self._book = book
        self._shelf = shelf
        self._in_thread = in_thread
        self._keys_arrived = keys_arrived
        self._served: OrderedDict[tuple[str, str, int], None] = OrderedDict()
        self.bytes_out = 0
        """Bytes of copies handed out since the start."""
        self.refused = 0

    async def serve(self, member: str, request: Request) -> Reply:
        """The reply to an authenticated member's request."""
        try:
            return await self._reply(member, request)
        except (CustodyError, DocumentError, EnvelopeError) as error:
            self.refused += 1
            return Refused(error.code, str(error)[:300])

    async def _reply(self, member: str, request: Request) -> Reply:
        match request:
            case GetManifest(chain, number, holder):
                if not self._is_keeper(member, self._row(chain, number), chain):
                    raise self._no_keeper(member, chain)
                found = await self._in_thread(self._shelf.manifest, chain, number, holder)
                return Listing(found.encode())
            case GetKeys(chain, number):
                keys = await self._keys(chain, number)
                if not self._is_keeper(member, self._row(chain, number), chain):
                    self._need_reader(member, chain, keys)
                return Keys(keys.encode())
            case GetPiece():
                return await self._piece(member, request)
            case GetVersions(chain, start):
                if not (member == chain or member in self._book.custodians(chain)):
                    raise self._no_keeper(member, chain)
                return await self._in_thread(self._shelf.versions, chain, start)
            case PutKeys(chain, number, data):
                if member != chain:
                    raise CustodyError("NOT_THE_OWNER", f"only {chain} says who reads deposit {number}: not kept")
                self._row(chain, number)
                keys = await self._in_thread(KeyList.decode, data)
                await self._keys_arrived(chain, number, keys)
                return Done()
            case Prove(chain, number, holder, start, seed):
                if member != chain:
                    raise CustodyError("NOT_THE_OWNER", f"only {chain} asks for proofs of its documents here")
                self._row(chain, number)
                return Chunks(await self._in_thread(self._shelf.prove, chain, number, holder, start, seed))
            case Locate(chain, name):
                return await self._locate(member, chain, name)

    async def _piece(self, member: str, request: GetPiece) -> Reply:
        chain, number, holder = request.chain, request.deposit, request.holder
        index, offset, length = request.index, request.offset, request.length
        if not self._is_keeper(member, self._row(chain, number), chain):
            entries = (await self._in_thread(self._shelf.manifest, chain, number, holder)).entries
            if index >= len(entries):
                raise CustodyError("WRONG_PLACE", f"deposit {number} of {chain} has no object {index}")
            self._need_reader(member, chain, await self._keys(chain, number), entries[index].name)
            length = min(length, max(1, entries[index].size - offset))
        data = await self._in_thread(self._shelf.piece, chain, number, holder, index, offset, length)
        self.bytes_out += len(data)
        return Piece(data)

    async def _locate(self, member: str, chain: str, name: bytes) -> Reply:
        if chain not in self._book.members():
            raise CustodyError("UNKNOWN_CHAIN", f"there is no chain {chain!r}: see `tally query chains`")
        if not (member == chain or member in self._book.custodians(chain)):
            self._need_named(member, chain)  # before anything is searched for a stranger
        refusal: CustodyError | None = None
        for number, index, holder in await self._in_thread(lambda: list(self._shelf.locate(chain, name))):
            row = self._row(chain, number)
            if not self._is_keeper(member, row, chain):
                try:
                    self._need_reader(member, chain, await self._keys(chain, number), name)
                except CustodyError as error:
                    refusal = error
                    continue
            manifest = await self._in_thread(self._shelf.manifest, chain, number, holder)
            entry = manifest.entries[index]
            path = await self._in_thread(merkle.prove, [entry.leaf for entry in manifest.entries], index)
            return Place(number, holder, index, entry.size, entry.root, tuple(path))
        raise refusal or CustodyError("NOT_HELD", f"this node holds no copy of {name.hex()[:16]}…: ask another")

    # -- who may ----------------------------------------------------------------------------------------

    def _row(self, chain: str, number: int) -> DepositRow:
        row = self._book.deposit(chain, number)
        if row is None:
            raise CustodyError(
                "UNKNOWN_DEPOSIT", f"chain {chain!r} has no deposit {number} here yet: ask again later"
            )
        return row

    def _is_keeper(self, member: str, row: DepositRow, chain: str) -> bool:
        return member == chain or member in row.roots or member in self._book.custodians(chain)

    def _need_named(self, member: str, chain: str) -> None:
        if not self._book.rules(chain).names(member):
            was = any((reader, of) == (member, chain) for reader, of, _ in self._served)
            raise self._revoked(member, chain) if was else self._no_reader(member, chain)

    def _need_reader(self, member: str, chain: str, keys: KeyList, name: bytes | None = None) -> None:
        """name: of the one object asked for; None: anything in the deposit."""
        whole = any((row.kind, row.id) == ("member", member) for row in keys.rows)
        single = any((row.kind, row.id) == ("member", member) and name in (None, row.name) for row in keys.objects)
        place = (member, chain, keys.number)
        if single or (whole and self._book.rules(chain).names(member)):
            self._served[place] = None
            self._served.move_to_end(place)
            if len(self._served) > REMEMBERED:
                self._served.popitem(last=False)
        elif whole or place in self._served:
            raise self._revoked(member, chain)
        else:
            raise self._no_reader(member, chain)

    @staticmethod
    def _revoked(member: str, chain: str) -> CustodyError:
        return CustodyError("READER_REVOKED", f"{member} may not read documents of {chain} any more: ask {chain}")

    @staticmethod
    def _no_reader(member: str, chain: str) -> CustodyError:
        return CustodyError("NOT_A_READER", f"{member} is no reader of {chain}'s documents: ask {chain} to name it")

    @staticmethod
    def _no_keeper(member: str, chain: str) -> CustodyError:
        return CustodyError("NOT_A_CUSTODIAN", f"{member} is no custodian of {chain}: ask for single documents")

    async def _keys(self, chain: str, number: int) -> KeyList:
        found = await self._in_thread(self._shelf.key_list, chain, number)
        if found is None:
            raise CustodyError("NO_KEY_LIST", f"no key list of deposit {number} of {chain} here: ask {chain}")
        return found
