"""What a regulator finds on its own side before it publishes: frozen percentiles, weights, and groups of K.

All in integers on int64 arrays, so that the same file gives the same data set. The exact records never leave here:
`generalise` replaces each by the common values of a group of at least K like records (microaggregation by maximum
distance to average vector, MDAV: Domingo-Ferrer and Torra 2005), which keeps more than fixed bands do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy
from numpy.typing import NDArray

from contracts import market_schema as schema
from contracts.market_schema import K, Type
from contracts.neighbours import Scale, log_step, lower_median, position
from contracts.preferences import MIN_RECORDS
from contracts.statistics import B
from node.connectors.errors import ConnectorError
from node.connectors.market_csv import Cell, Table

Ints: TypeAlias = NDArray[numpy.int64]

LOW_PERCENT: Final = 1
HIGH_PERCENT: Final = 99
NEIGHBOURS_EXACT: Final = 7  # DOMAIN 9
NEIGHBOURS_GROUPED: Final = 13  # reaches past two whole groups of K, so that no single group decides
NEIGHBOURHOOD: Final = 25
SHORTLIST_BP: Final = 7_000
START_WEIGHT: Final = 4
WEIGHTS: Final = (0, 1, 2, 4, 8, 16, 32)
PASSES: Final = 2
MAX_FITTED: Final = 1_600  # records: a fit compares each with each
STEP_COST_BP: Final = 40  # of the hit rate that one log step (1.1 %) of mean error may cost
_FAR: Final = 2**62


def scales(table: Table, kind: str, weights: dict[str, int] | None = None) -> dict[str, Scale]:
    """The features of a table with bounds frozen at its 1st and 99th percentile, in name order."""
    known = schema.columns_of(kind)
    found = {}
    for name in table.names:
        if name not in schema.FEATURES:
            continue
        weight = START_WEIGHT if weights is None else weights[name]
        if known[name].type is Type.CODE:
            found[name] = Scale(True, False, 0, 1, weight)
            continue
        low, high = _percentiles([log_step(v) if known[name].log else v for v in table.column(name)])
        found[name] = Scale(False, known[name].log, low, high, weight)
    return found


def positions(table: Table, scaled: dict[str, Scale]) -> dict[str, Ints]:
    """Every record's position by feature; codes as numbers in code order."""
    found = {}
    for name, scale in scaled.items():
        cells = table.column(name)
        if scale.coded:
            book = {code: place for place, code in enumerate(sorted(set(cells)))}
            found[name] = numpy.array([book[cell] for cell in cells], dtype=numpy.int64)
        else:
            by_value = {value: position(value, scale) for value in set(cells)}
            found[name] = numpy.array([by_value[cell] for cell in cells], dtype=numpy.int64)
    return found


def generalise(table: Table, kind: str, scaled: dict[str, Scale]) -> Table:
    """The table with every quasi-identifying cell replaced by its group's common band or most frequent code.

    Groups are alike in the weighted features and, where there is one, in the amount granted, which weighs as much as
    all features together; approved and declined records are never grouped with each other. Raises ConnectorError
    GROUP_TOO_SMALL where there are fewer than K of either.
    """
    known = schema.columns_of(kind)
    money = "limit" if kind == schema.LENDING else "cover"
    said = "approved" if kind == schema.LENDING else "accepted"
    measured = dict(scaled)
    if money in table.names:
        low, high = _percentiles([log_step(value) for value in table.column(money) if value])
        measured[money] = Scale(False, True, low, high, max(1, sum(scale.weight for scale in scaled.values())))
    placed = positions(table, measured)
    answers = table.column(said) if said in table.names else [1] * len(table.rows)
    rows: list[tuple[Cell, ...]] = list(table.rows)
    quasi = [place for place, name in enumerate(table.names) if known[name].quasi]
    for answer in sorted(set(answers)):
        members = numpy.array([place for place, said in enumerate(answers) if said == answer], dtype=numpy.int64)
        if len(members) < K:
            raise ConnectorError(
                "GROUP_TOO_SMALL", f"only {len(members)} records have {said} {answer}", f"give {K} or none of them"
            )
        for group in _groups(members, placed, measured):
            inside = [table.rows[place] for place in group]
            common = {place: _common([row[place] for row in inside], known[table.names[place]]) for place in quasi}
            for place in group:
                rows[place] = tuple(common.get(at, cell) for at, cell in enumerate(table.rows[place]))
    return Table(table.names, rows, table.lines)


def fit_weights(table: Table, scaled: dict[str, Scale]) -> dict[str, int]:
    """Weights for lending data by coordinate search, each record predicted from all others.

    What is maximised: hit rate of the target lender, less the mean error of the predicted limit in log steps. Records
    past MAX_FITTED do not take part. With fewer than two lenders of MIN_RECORDS records weights stay as they were.
    """
    who = table.column("lender")
    sizes = Counter(who)
    kept = [place for place, lender in enumerate(who) if sizes[lender] > MIN_RECORDS][:MAX_FITTED]
    part = Table(table.names, [table.rows[place] for place in kept], [table.lines[place] for place in kept])
    sizes = Counter(part.column("lender"))
    weights = {name: scale.weight for name, scale in scaled.items()}
    if sum(1 for size in sizes.values() if size > MIN_RECORDS) < 2:
        return weights
    search = _Search(part, scaled)
    best = search.score(weights)
    for _ in range(PASSES):
        for name in weights:
            for weight in WEIGHTS:
                if weight != weights[name] and any({**weights, name: weight}.values()):
                    score = search.score({**weights, name: weight})
                    if score > best:
                        best, weights = score, {**weights, name: weight}
    return weights


class Spread(NamedTuple):
    """What generalising has done: groups, their smallest and largest, those whose records name one institution."""

    groups: int
    smallest: int
    largest: int
    one_institution: int


def spread(table: Table, kind: str) -> Spread:
    """Sizes of the groups of a generalised table."""
    known = schema.columns_of(kind)
    quasi = [place for place, name in enumerate(table.names) if known[name].quasi]
    who = table.names.index(schema.INSTITUTION[kind])
    found: dict[tuple[Cell, ...], list[Cell]] = {}
    for row in table.rows:
        found.setdefault(tuple(row[place] for place in quasi), []).append(row[who])
    sizes = [len(group) for group in found.values()]
    return Spread(len(sizes), min(sizes), max(sizes), sum(1 for group in found.values() if len(set(group)) == 1))


class _Search:
    """Leave-one-out over one table, for many weightings of the same features."""

    def __init__(self, table: Table, scaled: dict[str, Scale]) -> None:
        lenders = sorted(set(table.column("lender")))
        owner = numpy.array([lenders.index(cell) for cell in table.column("lender")], dtype=numpy.int64)
        places = [numpy.flatnonzero(owner == lender) for lender in range(len(lenders))]
        self._places = [place for place in places if len(place) > MIN_RECORDS]
        self._chosen = numpy.sort(numpy.concatenate(self._places))
        index = {int(lender): at for at, lender in enumerate(sorted({int(owner[p[0]]) for p in self._places}))}
        self._owner = numpy.array([index[int(owner[place])] for place in self._chosen], dtype=numpy.int64)
        self._own = [numpy.flatnonzero(self._owner == lender) for lender in range(len(index))]
        self._limits = numpy.array(table.column("limit"), dtype=numpy.int64)[self._chosen]
        self._steps = numpy.array([log_step(int(limit)) for limit in self._limits], dtype=numpy.int64)
        placed = positions(table, scaled)
        self._apart = {name: _apart(placed[name][self._chosen], scale) for name, scale in scaled.items()}

    def score(self, weights: dict[str, int]) -> int:
        """Hit rate in bp less the cost of the mean error; larger is better."""
        count = len(self._chosen)
        sums = numpy.zeros((count, count), dtype=numpy.int64)
        for name, weight in weights.items():
            if weight:
                sums += self._apart[name] * numpy.int64(weight)
        numpy.fill_diagonal(sums, _FAR)
        predicted = numpy.stack([self._predicted(sums[:, own], own) for own in self._own], axis=1)
        near = numpy.argpartition(sums, NEIGHBOURHOOD, axis=1)[:, :NEIGHBOURHOOD]
        shares = numpy.stack([(self._owner[near] == lender).sum(axis=1) for lender in range(len(self._own))], axis=1)
        gaps = numpy.abs(predicted - self._limits[:, None])
        gaps[shares * B < shares.max(axis=1, keepdims=True) * SHORTLIST_BP] = _FAR
        hits = int((gaps.argmin(axis=1) == self._owner).sum())
        everybody = numpy.arange(count)
        found = [log_step(int(value)) for value in predicted[everybody, self._owner]]
        error = int(numpy.abs(numpy.array(found, dtype=numpy.int64) - self._steps).sum())
        return (B * hits - STEP_COST_BP * error) // count

    def _predicted(self, sums: Ints, own: Ints) -> Ints:
        near = numpy.argpartition(sums, NEIGHBOURS_EXACT, axis=1)[:, :NEIGHBOURS_EXACT]
        found: Ints = numpy.sort(self._limits[own][near], axis=1)[:, (NEIGHBOURS_EXACT - 1) // 2]
        return found


def _apart(placed: Ints, scale: Scale) -> Any:
    if scale.coded:
        return (placed[:, None] != placed[None]).astype(numpy.int32) * numpy.int32(B * B)
    return ((placed[:, None] - placed[None]) ** 2).astype(numpy.int32)


def _percentiles(values: Sequence[int]) -> tuple[int, int]:
    """The bounds of a scale: values at the 1st and the 99th percentile, one apart at least."""
    ordered = sorted(values)
    low = ordered[(len(ordered) - 1) * LOW_PERCENT // 100]
    return low, max(low + 1, ordered[(len(ordered) - 1) * HIGH_PERCENT // 100])


def _groups(members: Ints, placed: dict[str, Ints], measured: dict[str, Scale]) -> list[list[int]]:
    """MDAV: the record farthest from the middle and its K - 1 nearest are a group, until fewer than 2 K are left."""
    left = members
    found = []
    while len(left) >= 2 * K:
        far = int(_sums(left, _middle(left, placed, measured), placed, measured).argmax())
        here = {name: int(placed[name][left[far]]) for name in measured}
        order = numpy.argsort(_sums(left, here, placed, measured), kind="stable")[:K]
        found.append([int(place) for place in left[order]])
        left = numpy.delete(left, order)
    found.append([int(place) for place in left])
    return found


def _middle(left: Ints, placed: dict[str, Ints], measured: dict[str, Scale]) -> dict[str, int]:
    return {
        name: int(numpy.bincount(placed[name][left]).argmax())
        if scale.coded
        else int(placed[name][left].sum()) // len(left)
        for name, scale in measured.items()
    }


def _sums(left: Ints, here: dict[str, int], placed: dict[str, Ints], measured: dict[str, Scale]) -> Ints:
    sums = numpy.zeros(len(left), dtype=numpy.int64)
    for name, scale in measured.items():
        values = placed[name][left]
        if scale.coded:
            sums += (values != here[name]).astype(numpy.int64) * (scale.weight * B * B)
        else:
            sums += (values - here[name]) ** 2 * scale.weight
    return sums


def _common(cells: list[Any], column: schema.Column) -> Cell:
    """What a group shows: the most frequent code or flag (the first in order of equals), else the band of its lower
    median."""
    if column.type in (Type.CODE, Type.FLAG):
        counted = Counter(cells)
        most: Cell = min(counted, key=lambda cell: (-counted[cell], cell))
        return most
    return schema.coarse(column, lower_median(cells))
