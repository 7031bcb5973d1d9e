"""A sorted map in a contract's state: a B+ tree whose pages are state entries, so that finding a key, its neighbours
and a place for a new one costs a few pages however many keys there are.

A page is (prefix, number) -> [level, keys, items]; page 0 is the root and holds as a fourth part the next unused
number. Level 0 is a leaf, items being the values; above it items are numbers of pages, and keys[i] is a lower bound
of what page items[i] holds. Keys are byte strings; values are scalars (text, an integer, bytes), so that a page is
encoded at the codec's speed. A leaf that overflows at its end is left full, because what comes in order is the rule;
any other is
divided evenly. An empty page goes; half-empty ones stay.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from contracts.context import Context, KeyPart, Value

PAGE: Final = 32
"""Most keys of a page."""

Scalar: TypeAlias = str | int | bytes


_OWN: Final = object()
"""The root page lies in the state beside the others."""


class Entry(NamedTuple):
    """A key with its value."""

    key: bytes
    value: Scalar


class Run(NamedTuple):
    """entries[first:last] of those added, and the two that stood beside that place, None at an end."""

    before: Entry | None
    first: int
    last: int
    after: Entry | None


class Neighbours(NamedTuple):
    """The entries next to a place, None at an end."""

    before: Entry | None
    after: Entry | None


class _Page:
    __slots__ = ("items", "keys", "level", "number")

    def __init__(self, number: int, level: int, keys: list[bytes], items: list[Scalar]) -> None:
        self.number = number
        self.level = level
        self.keys = keys
        self.items = items


_Path: TypeAlias = list[tuple[_Page, int]]  # from the root; the place taken in each page


def _limit(path: _Path) -> bytes | None:
    """The lower bound of the leaf after that of a path: it may have lost its first keys."""
    for page, taken in reversed(path[:-1]):
        if taken + 1 < len(page.keys):
            return page.keys[taken + 1]
    return None


class OrderedMap:
    """One map, opened for one transaction: pages are read once, and written by `write`."""

    def __init__(self, ctx: Context, *prefix: KeyPart, root: Value = _OWN) -> None:
        """root: page 0 where whoever opens the map keeps it elsewhere, None for an empty map; see `write`."""
        self._ctx = ctx
        self._prefix = prefix
        self._pages: dict[int, _Page] = {}
        self._changed: dict[int, None] = {}
        self._keeps_root = root is _OWN
        if self._keeps_root:
            root = ctx.get(*prefix, 0)
        if root is None:
            self._next = 1
            self._root = _Page(0, 0, [], [])
        else:
            level, keys, items, self._next = root
            self._root = _Page(0, level, keys.copy(), items.copy())
        self._pages[0] = self._root

    def insert(self, key: bytes, value: Scalar) -> Neighbours:
        """Add a key that is not there yet; gives what stands before and after it."""
        [run] = self.insert_many([Entry(key, value)])
        return Neighbours(run.before, run.after)

    def insert_many(self, entries: Sequence[Entry]) -> Iterator[Run]:
        """Add entries, ascending, whose keys are not there yet, run by run; gives each with what it stands between.

        What an earlier run has added is there for the next one. Take all of them: each is added when it is given.
        """
        keys = [entry.key for entry in entries]
        first = 0
        while first < len(keys):
            path = self._path(keys[first])
            leaf, at = path[-1]
            before, after = self._before(path), self._entry_at(path)
            limit = leaf.keys[at] if at < len(leaf.keys) else _limit(path)
            last = len(keys) if limit is None else bisect_left(keys, limit, first)
            assert last > first, "a key stands once in an ordered map"
            leaf.keys[at:at] = keys[first:last]
            leaf.items[at:at] = [entry.value for entry in entries[first:last]]
            self._changed[leaf.number] = None
            if len(leaf.keys) > PAGE:
                self._split(path, last - first)
            yield Run(before, first, last, after)
            first = last

    def remove(self, key: bytes) -> Neighbours:
        """Take a key out; gives what stood before and after it."""
        path = self._path(key)
        leaf, at = path[-1]
        assert key in leaf.keys[at : at + 1], "a key to be removed is in the map"
        before = self._before(path)
        del leaf.keys[at], leaf.items[at]
        self._changed[leaf.number] = None
        found = Neighbours(before, self._entry_at(path))
        if not leaf.keys:
            self._drop(path)
        return found

    def write(self) -> Value:
        """Put the changed pages into the state; gives the root page, None for an empty map.

        A map that was opened with its root leaves that one page to the caller.
        """
        root = None
        if self._root.keys:
            root = [self._root.level, self._root.keys, self._root.items, self._next]
        for number in self._changed:
            page = self._pages.get(number)
            if number == 0:
                if self._keeps_root and root is not None:
                    self._ctx.put_canonical(*self._prefix, 0, value=root)
                elif self._keeps_root:
                    self._ctx.delete(*self._prefix, 0)
            elif page is None:
                self._ctx.delete(*self._prefix, number)
            else:
                self._ctx.put_canonical(*self._prefix, number, value=[page.level, page.keys, page.items])
        return root

    def _page(self, number: Scalar) -> _Page:
        assert type(number) is int
        page = self._pages.get(number)
        if page is None:
            level, keys, items = self._ctx.get(*self._prefix, number)
            page = self._pages[number] = _Page(number, level, keys.copy(), items.copy())
        return page

    def _path(self, key: bytes) -> _Path:
        """The way to the leaf of a key; its place there is where the key stands or would stand."""
        path: _Path = []
        page = self._root
        while page.level:
            at = max(bisect_right(page.keys, key) - 1, 0)
            path.append((page, at))
            page = self._page(page.items[at])
        path.append((page, bisect_left(page.keys, key)))
        return path

    def _before(self, path: _Path) -> Entry | None:
        leaf, at = path[-1]
        if at:
            return Entry(leaf.keys[at - 1], leaf.items[at - 1])
        for page, taken in reversed(path[:-1]):
            if taken:
                return self._end(page.items[taken - 1], last=True)
        return None

    def _entry_at(self, path: _Path) -> Entry | None:
        """The entry at a path's place: past the end of its leaf that is the first one of the next."""
        leaf, at = path[-1]
        if at < len(leaf.keys):
            return Entry(leaf.keys[at], leaf.items[at])
        for page, taken in reversed(path[:-1]):
            if taken + 1 < len(page.items):
                return self._end(page.items[taken + 1], last=False)
        return None

    def _end(self, number: Scalar, *, last: bool) -> Entry:
        """The last or first entry below a page."""
        place = -1 if last else 0
        page = self._page(number)
        while page.level:
            page = self._page(page.items[place])
        return Entry(page.keys[place], page.items[place])

    def _split(self, path: _Path, added: int) -> None:
        """Divide the page at the end of a path, to which so many keys were added at the place taken, and those above
        it that overflow by that."""
        page, at = path.pop()
        size = len(page.keys)
        if at + added < size:
            parts = -(-size // PAGE)
            cuts = [size * part // parts for part in range(parts + 1)]
        else:
            cuts = [*range(0, size, PAGE), size]
        level, keys, items = page.level, page.keys, page.items
        if path:
            parent, taken = path[-1]
            page.keys, page.items = keys[: cuts[1]], items[: cuts[1]]
        else:  # the root stays page 0: what it held goes below it
            parent, taken = page, 0
            left = self._new(level, keys[: cuts[1]], items[: cuts[1]])
            page.level, page.keys, page.items = level + 1, left.keys[:1], [left.number]
        rest = [self._new(level, keys[low:high], items[low:high]) for low, high in pairwise(cuts[1:])]
        parent.keys[taken + 1 : taken + 1] = [right.keys[0] for right in rest]
        parent.items[taken + 1 : taken + 1] = [right.number for right in rest]
        self._changed[parent.number] = None
        if len(parent.keys) > PAGE:
            path[-1:] = [(parent, taken + 1)]
            self._split(path, len(rest))

    def _new(self, level: int, keys: list[bytes], items: list[Scalar]) -> _Page:
        page = self._pages[self._next] = _Page(self._next, level, keys, items)
        self._changed[self._next] = None
        self._next += 1
        self._changed[0] = None
        return page

    def _drop(self, path: _Path) -> None:
        """Take an empty page out of the one above it."""
        page, _ = path.pop()
        if page is self._root:
            page.level = 0
            self._changed[0] = None
            return
        del self._pages[page.number]
        self._changed[page.number] = None
        parent, taken = path[-1]
        del parent.keys[taken], parent.items[taken]
        self._changed[parent.number] = None
        if not parent.keys:
            self._drop(path)
