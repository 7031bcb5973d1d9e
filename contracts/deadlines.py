"""Deadlines of credit lines and of deeds: a binary heap in the state, so that a block finds what has fallen due in a
few reads.

An entry is [deadline ms, id of an application or a deed]. Entries are never removed early: whoever takes one out
looks at the line's schedule or the deed and puts the next deadline in, so a paid instalment costs one look at its
time and nothing before.

State, on the consortium chain, in the namespace of whichever contract uses it (credit, notary):
    ("deadlines",) -> number of entries; ("deadline", n) -> entry n of the heap, from 0; smallest first
"""

from __future__ import annotations

from typing import TypeAlias

from contracts.context import Context

Entry: TypeAlias = list[int | bytes]


def put(ctx: Context, time_ms: int, identity: bytes) -> None:
    """Enter a deadline. O(log n)."""
    place: int = ctx.get("deadlines") or 0
    ctx.put("deadlines", value=place + 1)
    entry: Entry = [time_ms, identity]
    while place > 0:
        above = (place - 1) // 2
        parent = ctx.get("deadline", above)
        if parent <= entry:
            break
        ctx.put("deadline", place, value=parent)
        place = above
    ctx.put("deadline", place, value=entry)


def take_due(ctx: Context, now_ms: int) -> bytes | None:
    """Take out the earliest entry whose deadline has come and give its id, or None. O(log n)."""
    size: int = ctx.get("deadlines") or 0
    first = None if size == 0 else ctx.get("deadline", 0)
    if first is None or first[0] > now_ms:
        return None
    size -= 1
    last = ctx.get("deadline", size)
    ctx.delete("deadline", size)
    if size == 0:
        ctx.delete("deadlines")
    else:
        ctx.put("deadlines", value=size)
        _sink(ctx, last, size)
    identity: bytes = first[1]
    return identity


def _sink(ctx: Context, entry: Entry, size: int) -> None:
    """Put an entry into the free place 0 of a heap of this size and let it sink."""
    place = 0
    while (below := 2 * place + 1) < size:
        child = ctx.get("deadline", below)
        if below + 1 < size:
            other = ctx.get("deadline", below + 1)
            if other < child:
                below, child = below + 1, other
        if entry <= child:
            break
        ctx.put("deadline", place, value=child)
        place = below
    ctx.put("deadline", place, value=entry)
