"""The book recomputed from every record there is, in plain code: what the incremental one must equal.

Reads all records of all chains, groups them by enterprise, joins them with sets and loops, and adds everything up.
Nothing of contracts/book.py, trades.py, pending.py or naming.py is used; the judgement of one trade (truth.judge) and
its share of a contract (progress.share_of), which have tests of their own, are.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from contracts import progress, trades, verdicts
from contracts.decimal_text import NOTHING, render
from contracts.documents import Document, document, party_key
from contracts.evidence import Reader
from contracts.matching import JOINED_KINDS, REMITTANCE, Book, is_paper
from contracts.truth import judge_trade, too_large
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext

KEPT = ("verdict", "truth", "lead", "progress")


def stored(on: Ledger) -> dict[tuple[Any, ...], Any]:
    """What the contract keeps, but for lists and indexes."""
    return {key: value for key, value in on.items(CONSORTIUM, "credit").items() if key[0] in KEPT}


def replayed(on: Ledger) -> dict[tuple[Any, ...], Any]:
    """The same from scratch."""
    context = MemoryContext(on, CONSORTIUM, "credit")
    reader = Reader(context)
    papers = all_papers(on)
    found: dict[tuple[Any, ...], Any] = {}
    for party in {party_key(doc.record.enterprise, reader.party_of) for doc in papers}:
        own = [doc for doc in papers if party_key(doc.record.enterprise, reader.party_of) == party]
        found |= _judged(context, reader, own, papers)
    return {**found, **_sums(found), **_progress(found)}


def all_papers(on: Ledger) -> list[Document]:
    """Every paper on every chain, in its latest version."""
    found = []
    for chain in on.state:
        if chain == CONSORTIUM:
            continue
        for key, entry in on.items(chain, "records").items():
            if key[0] == "record":
                array = entry["record"]
                spec = on.read(CONSORTIUM, "credit", "template", array[7], array[8])
                found.append(document(chain, entry, spec))
    return [doc for doc in found if is_paper(doc)]


def listed(on: Ledger, identifiers: Iterable[str], statuses: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Places of stored verdicts with one of these statuses."""
    return {
        key[1:]
        for key, entry in stored(on).items()
        if key[0] == "verdict" and entry["enterprise"] in identifiers and entry["status"] in statuses
    }


def _judged(
    context: MemoryContext, reader: Reader, own: list[Document], papers: list[Document]
) -> dict[tuple[Any, ...], Any]:
    """Verdicts on one enterprise's bills, and what its trades bring."""
    shared = {doc.key for doc in own if doc.category == "bill" or doc.kind == REMITTANCE}
    mine = own + [doc for doc in papers if doc.key in shared and doc not in own]
    groups = _groups(mine)
    small = [doc for group in groups if len(group) <= trades.MAX_PAPERS for doc in group]
    found: dict[tuple[Any, ...], Any] = {}
    for group in groups:
        if len(group) > trades.MAX_PAPERS:
            for doc in group:
                if doc in own and doc.category == "bill":
                    verdict = too_large(doc, trades.MAX_PAPERS)
                    entry = verdicts.entry_of(context, verdict, [], NOTHING, reader.party_of)
                    found[("verdict", doc.chain, *doc.key)] = entry
    book = Book(small, reader.party_of)
    for trade in book.trades():
        judged = judge_trade(trade, book, lambda bill: verdicts.is_upheld(context, bill, reader.party_of))
        row = progress.row_of(trade)
        for verdict in judged:
            if verdict.bill in own:
                contract = [] if row is None else [row.kind, row.issuer, row.number]
                entry = verdicts.entry_of(
                    context, verdict, contract, progress.open_of(verdict, judged, book), reader.party_of
                )
                found[("verdict", verdict.bill.chain, *verdict.bill.key)] = entry
        if trade.orders:
            bills = frozenset(v.bill.id for v in judged if entry_is_confirmed(context, v.bill, reader))
            share = progress.share_of(trade, book, judged, bills)
            assert share is not None
            lead = trade.orders[0]
            found[("lead", lead.chain, *lead.key)] = {
                "row": list(share.row),
                "currency": share.currency,
                "stages": {stage: render(value) for stage, value in share.stages.items() if value.units},
            }
    return found


def entry_is_confirmed(context: MemoryContext, bill: Document, reader: Reader) -> bool:
    return verdicts.is_confirmed(context, bill, reader.party_of)


def _groups(papers: list[Document]) -> list[list[Document]]:
    """Papers that share a topic, over any number of steps; remittances stand with each group they name."""
    joining = [doc for doc in papers if doc.kind != REMITTANCE]
    paying = [doc for doc in papers if doc.kind == REMITTANCE]
    groups: list[tuple[set[tuple[str, str]], list[Document]]] = []
    for doc in joining:
        topics, members = _topics(doc) | {(doc.kind, doc.number)}, [doc]
        apart = []
        for group in groups:
            if group[0] & topics:
                topics |= group[0]
                members += group[1]
            else:
                apart.append(group)
        groups = [*apart, (topics, members)]
    found = []
    for topics, members in groups:
        named = {doc.key for doc in paying if _topics(doc) & topics}
        found.append(members + [doc for doc in paying if doc.key in named])
    return found


def _topics(doc: Document) -> set[tuple[str, str]]:
    return {(relation, number) for relation, _, number in doc.record.links if relation in JOINED_KINDS}


def _sums(found: dict[tuple[Any, ...], Any]) -> dict[tuple[Any, ...], Any]:
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key, entry in found.items():
        if key[0] != "verdict":
            continue
        total = sums.setdefault(
            ("truth", entry["enterprise"], entry["currency"]),
            {"all": Fraction(), "matched": Fraction(), "counts": {}},
        )
        amount = Fraction(entry["amount"] or "0")
        total["all"] += amount
        total["matched"] += amount if entry["status"] == "matched" else 0
        total["counts"][entry["status"]] = total["counts"].get(entry["status"], 0) + 1
    return {
        key: {"all": plain(total["all"]), "matched": plain(total["matched"]), "counts": total["counts"]}
        for key, total in sums.items()
    }


def _progress(found: dict[tuple[Any, ...], Any]) -> dict[tuple[Any, ...], Any]:
    sums: dict[tuple[Any, ...], dict[str, dict[str, Fraction]]] = {}
    for key, lead in found.items():
        if key[0] == "lead":
            row = sums.setdefault(("progress", *lead["row"]), {}).setdefault(lead["currency"], {})
            for stage, text in {**lead["stages"], "trades": "1"}.items():
                row[stage] = row.get(stage, Fraction()) + Fraction(text)
    return {
        key: {currency: {stage: plain(value) for stage, value in row.items()} for currency, row in rows.items()}
        for key, rows in sums.items()
    }


def plain(value: Fraction) -> str:
    """Decimal text of a fraction whose denominator divides a power of ten, without trailing zeros."""
    scale = 0
    while (value * 10**scale).denominator != 1:
        scale += 1
    digits = str(abs(int(value * 10**scale))).rjust(scale + 1, "0")
    text = digits if scale == 0 else f"{digits[:-scale]}.{digits[-scale:]}"
    return f"-{text}" if value < 0 else text
