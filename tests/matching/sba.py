"""The SBA loans as a regulator would map them, and the measurement on them: leave-one-out, nested, against baselines.

2,102 real loans to Californian firms (data/sba-loans), 155 banks. What is known only with or after the decision is
dropped: amount guaranteed and disbursed, dates, how the loan ended, the bank's state.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from contracts import preferences
from contracts.neighbours import Scale, lower_median
from contracts.preferences import MIN_RECORDS
from node.connectors import market_document, market_model
from node.connectors.market_csv import Plan, Table, plan, read

DATA: Final = Path(__file__).resolve().parents[2].parent / "shared/data"
SBA: Final = DATA / "sba-loans/sba_california_2102_deidentified.csv"
BLOCKS: Final = 5
PLAIN: Final = ("employees", "new_business", "secured", "tenor_months")


Guess: TypeAlias = tuple[int, int]
"""Predicted and granted, in cents."""


class Score(NamedTuple):
    """Median absolute error in dollars of the lender's own prediction, and loans whose lender was named."""

    name: str
    error: int
    ratio: int  # median of greater over lesser, in percent above 1
    hits: int
    loans: int


def mapping(path: Path = SBA) -> Plan:
    """The mapping file for the SBA loans; a bank is declared by a code of its own."""
    with path.open(encoding="utf-8", newline="") as file:
        banks = sorted({row["Bank"] for row in csv.DictReader(file)})
    codes = {bank: f"BANK{place:03}" for place, bank in enumerate(banks)}
    columns: dict[str, Any] = {
        "Bank": {"as": "lender", "values": codes},
        "NAICS": {"as": "industry", "prefix": 3},
        "ApprovalFY": {"as": "year"},
        "Term": {"as": "tenor_months"},
        "NoEmp": {"as": "employees"},
        "NewExist": {"as": "new_business", "values": {"1": 0, "2": 1, "0": 0, "": 0}},
        "CreateJob": {"as": "jobs_created"},
        "RetainedJob": {"as": "jobs_retained"},
        "UrbanRural": {"as": "region", "values": {"0": "U0", "1": "U1", "2": "U2"}},
        "RevLineCr": {"as": "facility", "values": {"Y": "Y", "N": "N", "0": "0", "T": "T", "": "0"}},
        "LowDoc": {"as": "programme", "values": {"Y": "Y", "N": "N", "S": "N", "A": "N", "0": "N", "": "N"}},
        "RealEstate": {"as": "secured"},
        "GrAppv": {"as": "limit"},
    }
    dropped = ["BankState", "State", "ApprovalDate", "DisbursementDate", "DisbursementGross", "SBA_Appv"]
    dropped += ["MIS_Status", "ChgOffPrinGr"]
    value = {
        "dataset": "sba",
        "kind": "lending",
        "currency": "USD",
        "scale": 2,
        "columns": columns,
        "drop": dropped,
        "institutions": sorted(codes.values()),
    }
    return plan(value, "sba.json")


def table() -> Table:
    """The loans as read, exact."""
    return read(SBA, mapping(), exact=True)


def judged(exact: Table) -> list[int]:
    """Loans whose lender has MIN_RECORDS others: for the rest there is no prediction to judge."""
    sizes = Counter(exact.column("lender"))
    return [place for place, lender in enumerate(exact.column("lender")) if sizes[lender] > MIN_RECORDS]


def baselines(exact: Table, loans: Sequence[int]) -> list[Score]:
    """Each bank's median as its prediction; always the largest bank, with its median. Leave-one-out."""
    who, limits = exact.column("lender"), exact.column("limit")
    by_lender: dict[str, list[int]] = {}
    for lender, limit in zip(who, limits, strict=True):
        by_lender.setdefault(lender, []).append(limit)
    large = [lender for lender in sorted(by_lender) if len(by_lender[lender]) > MIN_RECORDS]
    biggest = min(large, key=lambda lender: (-len(by_lender[lender]), lender))
    median_errors: list[Guess] = []
    big_errors: list[Guess] = []
    median_hits = 0
    for place in loans:
        medians = {}
        for lender in large:
            others = list(by_lender[lender])
            if lender == who[place]:
                others.remove(limits[place])
            medians[lender] = lower_median(others)
        median_errors.append((medians[who[place]], limits[place]))
        big_errors.append((medians[biggest], limits[place]))
        median_hits += min(large, key=lambda name: (abs(medians[name] - limits[place]), name)) == who[place]
    big_hits = sum(1 for place in loans if who[place] == biggest)
    return [
        _score("baseline: the bank's median", median_errors, median_hits),
        _score("baseline: the largest bank", big_errors, big_hits),
    ]


def plain(exact: Table, loans: Sequence[int]) -> Score:
    """The plain rule: four features of equal weight, k = 7, no neighbourhood."""

    def settings(training: Table) -> dict[str, Scale]:
        scaled = market_model.scales(training, "lending")
        return {name: scale._replace(weight=int(name in PLAIN)) for name, scale in scaled.items()}

    errors, hits = _run(exact, loans, settings, market_model.NEIGHBOURS_EXACT, 0, grouped=False)
    return _score("plain k-NN: 4 equal features, exact records, k = 7", errors, hits)


def bettered(exact: Table, loans: Sequence[int], neighbours: int, *, grouped: bool) -> Score:
    """The model as published. Weights for a loan are fitted without the block of loans it is in."""
    fitted = [_fitted(exact, block) for block in range(BLOCKS)]
    errors: list[Guess] = []
    hits = 0
    for block in range(BLOCKS):

        def settings(training: Table, weights: dict[str, int] = fitted[block]) -> dict[str, Scale]:
            return market_model.scales(training, "lending", weights)

        here = [place for place in loans if place % BLOCKS == block]
        found, hit = _run(exact, here, settings, neighbours, market_model.SHORTLIST_BP, grouped=grouped)
        errors += found
        hits += hit
    form = "groups of 5, as published" if grouped else "exact records"
    return _score(f"this model, {form}, k = {neighbours}", errors, hits)


def scored(exact: Table, loans: Sequence[int], weights: dict[str, int]) -> Score:
    """The model as published, with given weights: a quick look, not nested."""
    errors, hits = _run(
        exact,
        loans,
        lambda training: market_model.scales(training, "lending", weights),
        market_model.NEIGHBOURS_GROUPED,
        market_model.SHORTLIST_BP,
        grouped=True,
    )
    return _score("a sample", errors, hits)


def _fitted(exact: Table, block: int) -> dict[str, int]:
    kept = [place for place in range(len(exact.rows)) if place % BLOCKS != block]
    part = Table(exact.names, [exact.rows[place] for place in kept], [exact.lines[place] for place in kept])
    return market_model.fit_weights(part, market_model.scales(part, "lending"))


def _run(
    exact: Table,
    loans: Sequence[int],
    settings: Callable[[Table], dict[str, Scale]],
    neighbours: int,
    shortlist_bp: int,
    *,
    grouped: bool,
) -> tuple[list[Guess], int]:
    """Every loan left out in turn: percentiles, groups and the data set are made anew without it."""
    who, limits = exact.column("lender"), exact.column("limit")
    base = mapping()
    errors: list[Guess] = []
    hits = 0
    for place in loans:
        rest = Table(exact.names, exact.rows[:place] + exact.rows[place + 1 :], exact.lines[:-1])
        scaled = settings(rest)
        shown = market_model.generalise(rest, "lending", scaled) if grouped else rest
        model = {**market_document.model_of(scaled, neighbours), "shortlist_bp": shortlist_bp}
        data = market_document.dataset(market_document.document(shown, base._replace(model=model), 1))
        query = {name: exact.rows[place][exact.names.index(name)] for name in scaled}
        result = preferences.lenders(preferences.search(data, query), limits[place], set(who))
        own = next(entry for entry in result.entries if entry["lender"] == who[place])
        errors.append((own["predicted"], limits[place]))
        hits += result.target == who[place]
    return errors, hits


def _score(name: str, guesses: list[Guess], hits: int) -> Score:
    error = lower_median(abs(predicted - granted) for predicted, granted in guesses)
    ratio = lower_median(100 * max(pair) // min(pair) - 100 for pair in guesses)
    return Score(name, error // 100, ratio, hits, len(guesses))
