"""Papers whose trade is still to be judged: a queue of enterprises, each with its papers, first come first judged.

State, on the consortium chain, in the credit contract's namespace:
    ("pending",) -> enterprise identifiers with papers, whose turn is next first
    ("pending", enterprise identifier) -> [[chain, kind, issuer, number]]
"""

from __future__ import annotations

from collections.abc import Iterable

from contracts.context import Context
from contracts.trades import Place, Touched


class Pending:
    """The queue during one transaction or hook; `save` writes what changed."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._before: list[str] = ctx.get("pending") or []
        self._turns = dict.fromkeys(self._before)
        self._places: dict[str, dict[Place, None]] = {}
        self._stored: dict[str, list[list[str]]] = {}

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, touched: Iterable[Touched]) -> None:
        """Put papers at the end; one that waits already keeps its place."""
        for identifier, place in touched:
            self._of(identifier)[place] = None
            self._turns[identifier] = None

    def next(self, identifiers: Iterable[str] | None = None) -> Touched | None:
        """The paper whose turn it is, of all or of some enterprises; it stays queued until `done`."""
        for identifier in self._turns if identifiers is None else identifiers:
            if identifier in self._turns:
                return Touched(identifier, next(iter(self._of(identifier))))
        return None

    def done(self, identifiers: Iterable[str], places: Iterable[Place]) -> None:
        """Take papers out; the enterprises' turn is over, what they have left waits for the next."""
        covered = tuple(places)
        for identifier in identifiers:
            if identifier in self._turns:
                waiting = self._of(identifier)
                for place in covered:
                    waiting.pop(place, None)
                del self._turns[identifier]
                if waiting:
                    self._turns[identifier] = None

    def save(self) -> None:
        """Write what changed, so that an idle block leaves the state as it is."""
        for identifier, waiting in self._places.items():
            rows = [list(place) for place in waiting]
            if rows == self._stored[identifier]:
                continue
            if rows:
                self._ctx.put("pending", identifier, value=rows)
            else:
                self._ctx.delete("pending", identifier)
            self._stored[identifier] = rows
        turns = list(self._turns)
        if turns != self._before:
            if turns:
                self._ctx.put("pending", value=turns)
            else:
                self._ctx.delete("pending")
            self._before = turns

    def _of(self, identifier: str) -> dict[Place, None]:
        if identifier not in self._places:
            rows: list[list[str]] = self._ctx.get("pending", identifier) or []
            self._stored[identifier] = rows
            self._places[identifier] = {(row[0], row[1], row[2], row[3]): None for row in rows}
        return self._places[identifier]
