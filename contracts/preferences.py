"""Lenders' and insurers' preferences from published records: who tends to grant what to enterprises like this one.

Pure: a data set and a query in, a result with its explanation out. What is explained is bands of features and each
institution's own prediction; never a rival's single records.

A lender is weighed in this order ([13], DOMAIN 9, docs/adr/0013): is it a candidate at all; has it MIN_RECORDS
records; were most of its nearest declined; does it lend to enterprises like this one, that is, does it hold enough of
the neighbourhood, the nearest approved records of all candidates. Of those left, the target is the one whose
predicted limit, the lower median over its nearest records, is closest to the credit limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from contracts import market_schema as schema
from contracts import neighbours, products
from contracts.market import Dataset
from contracts.neighbours import Ranked, lower_median, unpack
from contracts.statistics import B

MIN_RECORDS: Final = 20

NOT_A_MEMBER, INSUFFICIENT, DECLINES, OTHERS_PREFERRED, IN_RUNNING = (
    "NOT_A_MEMBER", "INSUFFICIENT", "DECLINES", "OTHERS_PREFERRED", "IN_RUNNING",
)  # fmt: skip

Query = Mapping[str, int | str | None]
"""Feature name → number, code, or None where it is not known."""


class Searched(NamedTuple):
    """A data set in the order of a query. owners: each record's institution; places: its records, nearest first."""

    dataset: Dataset
    ranked: Ranked
    owners: list[str]
    places: dict[str, list[int]]
    used: dict[str, int]  # features that counted, as numbers of the data set


class Result(NamedTuple):
    """target: "" where nobody is left. entries: every institution with its verdict, in the order of choice."""

    target: str
    entries: list[dict[str, Any]]


def search(dataset: Dataset, query: Query) -> Searched:
    """Rank all records of a data set by their distance from a query."""
    scales = dataset.scales()
    asked = {name: _number(dataset, name, query.get(name)) for name in scales}
    columns = [dataset.columns[name] for name in scales]
    ranked = neighbours.ranked(columns, list(scales.values()), list(asked.values()), dataset.rows)
    field = schema.INSTITUTION[dataset.header["kind"]]
    codes = dataset.codes(field)
    owners = [codes[number] for number in unpack(dataset.columns[field])]
    places: dict[str, list[int]] = {code: [] for code in codes}
    for place in ranked.order:
        places[owners[place]].append(place)
    used = {name: value for name, value in asked.items() if value is not None and scales[name].weight}
    return Searched(dataset, ranked, owners, places, used)


def lenders(searched: Searched, limit: int, candidates: Collection[str]) -> Result:
    """The target lender for a credit limit > 0 in minor units, among candidates (ids of member lenders)."""
    header, places = searched.dataset.header, searched.places
    granted = unpack(searched.dataset.columns["limit"])
    entries: dict[str, dict[str, Any]] = {}
    open_to: list[str] = []
    for lender in sorted(places):
        own = places[lender]
        nearest = own[: header["neighbours"]]
        amounts = [granted[place] for place in nearest if granted[place] > 0]
        entry: dict[str, Any] = {"lender": lender, "records": len(own), "verdict": IN_RUNNING, "predicted": None}
        if lender not in candidates:
            entry["verdict"] = NOT_A_MEMBER
        elif len(own) < MIN_RECORDS:
            entry["verdict"] = INSUFFICIENT
        elif 2 * len(amounts) < len(nearest) or not amounts:
            entry["verdict"] = DECLINES
        else:
            open_to.append(lender)
            entry |= {"predicted": lower_median(amounts), "nearness": searched.ranked.distances[nearest[-1]]}
        entries[lender] = entry
    shares = _neighbourhood(searched, open_to, granted)
    best = max(shares.values(), default=0)
    for lender in open_to:
        entry = entries[lender]
        entry |= {"share": shares[lender], "gap": abs(entry["predicted"] - limit)}
        if shares[lender] * B < best * header["shortlist_bp"]:
            entry["verdict"] = OTHERS_PREFERRED
    _rank_nearness([entries[lender] for lender in open_to])
    ordered = sorted(
        entries.values(),
        key=lambda e: (e["verdict"] != IN_RUNNING, e["predicted"] is None, e.get("gap", 0), e["lender"]),
    )
    target = ordered[0]["lender"] if ordered and ordered[0]["verdict"] == IN_RUNNING else ""
    return Result(target, ordered)


def acceptance(searched: Searched) -> dict[str, int | None]:
    """Of each insurer, the share of its nearest records that it accepted, bp rounded down; None: too few records."""
    accepted = unpack(searched.dataset.columns["accepted"])
    found: dict[str, int | None] = {}
    for insurer, own in searched.places.items():
        nearest = own[: searched.dataset.header["neighbours"]]
        said = sum(accepted[place] for place in nearest)
        found[insurer] = B * said // len(nearest) if len(own) >= MIN_RECORDS else None
    return found


def insurers(
    listed: Iterable[Mapping[str, Any]],
    case: products.Case,
    accepted: Mapping[str, int | None],
    candidates: Collection[str],
) -> Result:
    """Products that fit by (-acceptance, rate, -cover, insurer, code); then the others with what excludes them."""
    entries = []
    for product in listed:
        insurer = product["insurer"]
        unmet = products.unmet(product, case)
        share = accepted.get(insurer)
        if insurer not in candidates:
            verdict = NOT_A_MEMBER
        elif unmet:
            verdict = "EXCLUDED"
        elif share is None:
            verdict = INSUFFICIENT
        else:
            verdict = IN_RUNNING if share * 2 >= B else DECLINES
        cover = products.cover(product, case.amount or 0)
        entries.append(
            {
                "insurer": insurer,
                "product": product["code"],
                "verdict": verdict,
                "unmet": unmet,
                "acceptance": share,
                "rate_bp": product["rate_bp"],
                "cover": cover,
            }
        )
    entries.sort(
        key=lambda e: (
            e["verdict"] != IN_RUNNING,
            -(e["acceptance"] or 0),
            e["rate_bp"],
            -e["cover"],
            e["insurer"],
            e["product"],
        )
    )
    target = entries[0]["insurer"] if entries and entries[0]["verdict"] == IN_RUNNING else ""
    return Result(target, entries)


def bands(searched: Searched, places: Iterable[int]) -> dict[str, list[Any]]:
    """Of records, each feature's span: [least, greatest], or the codes that occur. Shows no single record."""
    chosen = list(places)
    found: dict[str, list[Any]] = {}
    for entry in searched.dataset.header["columns"]:
        name = entry["name"]
        if name in searched.used and chosen:
            values = unpack(searched.dataset.columns[name])
            here = sorted({values[place] for place in chosen})
            found[name] = [entry["codes"][value] for value in here] if "codes" in entry else [here[0], here[-1]]
    return found


def _neighbourhood(searched: Searched, open_to: list[str], granted: list[int]) -> dict[str, int]:
    """How many of the nearest approved records of all lenders still in the running each of them holds."""
    wanted = set(open_to)
    near = (
        searched.owners[place]
        for place in searched.ranked.order
        if granted[place] > 0 and searched.owners[place] in wanted
    )
    counted = Counter(islice(near, searched.dataset.header["neighbourhood"]))
    return {lender: counted[lender] for lender in open_to}


def _rank_nearness(entries: list[dict[str, Any]]) -> None:
    """Distances tell nothing by themselves: what is explained is whose records are nearest, second, …"""
    for rank, entry in enumerate(sorted(entries, key=lambda e: (e["nearness"], e["lender"])), 1):
        del entry["nearness"]
        entry["rank"] = rank


def _number(dataset: Dataset, name: str, value: int | str | None) -> int | None:
    """A query's value as the column holds it; a code that no record has differs from all of them."""
    if value is None or isinstance(value, int):
        return value
    codes = dataset.codes(name)
    fitting = [place for place, code in enumerate(codes) if value.startswith(code)]
    return max(fitting, key=lambda place: len(codes[place])) if fitting else len(codes)
