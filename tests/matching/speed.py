"""What one query costs over 2,000 records: one process, the contract's own functions, by the clock."""

from __future__ import annotations

import statistics
import time

from contracts import preferences
from contracts.market import PAGE, Dataset
from contracts.neighbours import Packed, ranked_exact
from node.connectors import market_document, market_model
from node.connectors.market_csv import Table
from tests.matching import sba

ROWS = 2_000
QUERIES = 200


def report(exact: Table) -> list[str]:
    """Median and worst of many queries, pages joined anew for each as the contract does."""
    found = measured(exact)
    wall, cpu = (sorted(cost[clock] for cost in found) for clock in (0, 1))
    pure = _pure(exact)
    return [
        f"one query over {ROWS} records (join pages, rank, choose), {QUERIES} of them:",
        f"  by the clock: median {statistics.median(wall) / 1e6:.1f} ms, slowest {wall[-1] / 1e6:.1f} ms",
        f"  processor time: median {statistics.median(cpu) / 1e6:.1f} ms, slowest {cpu[-1] / 1e6:.1f} ms",
        f"  ranking in Python ints alone: {pure / 1e6:.1f} ms of processor time",
    ]


def measured(exact: Table, queries: int = QUERIES) -> list[tuple[int, int]]:
    """Nanoseconds of each query: by the clock, and of processor time, which a busy machine does not lengthen."""
    data = _dataset(exact)
    pages = {
        name: [
            column.data[start : start + PAGE * column.width]
            for start in range(0, len(column.data), PAGE * column.width)
        ]
        for name, column in data.columns.items()
    }
    who = set(exact.column("lender"))
    found = []
    for place in range(queries):
        query = {name: exact.rows[place][exact.names.index(name)] for name in data.scales()}
        start, used = time.perf_counter_ns(), time.process_time_ns()
        joined = {name: Packed(b"".join(parts), data.columns[name].width) for name, parts in pages.items()}
        searched = preferences.search(data._replace(columns=joined), query)
        result = preferences.lenders(searched, 5_000_000, who)
        preferences.bands(searched, searched.places[result.target][:13])
        found.append((time.perf_counter_ns() - start, time.process_time_ns() - used))
    return found


def _dataset(exact: Table) -> Dataset:
    part = Table(exact.names, exact.rows[:ROWS], exact.lines[:ROWS])
    scaled = market_model.scales(part, "lending")
    grouped = market_model.generalise(part, "lending", scaled)
    model = market_document.model_of(scaled, market_model.NEIGHBOURS_GROUPED)
    return market_document.dataset(market_document.document(grouped, sba.mapping()._replace(model=model), 1))


def _pure(exact: Table) -> int:
    data = _dataset(exact)
    scales = data.scales()
    asked = [preferences._number(data, name, exact.rows[0][exact.names.index(name)]) for name in scales]
    start = time.process_time_ns()
    ranked_exact([data.columns[name] for name in scales], list(scales.values()), asked, data.rows)
    return time.process_time_ns() - start
