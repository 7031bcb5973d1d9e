"""The intake engine against the real records contract: outcomes, repeats, bad records, breaks, bounds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from chain.codec import decode
from chain.crypto import sha256
from chain.sealed import decode_raw
from genesis import library
from node.connectors import mapping as mappings
from node.connectors.routing import Member
from node.intake import engine, outcomes, sending
from node.intake.engine import Progress
from node.intake.outcomes import Entry, FileReport, Listing
from node.intake.reading import Rules, Source, source_of
from tallystick.client import Document
from tests.chain.chain_builder import Consortium
from tests.intake_speed import MAPPING, write_table
from tests.ledger_gateway import LedgerGateway, consortium, contract, package, run, source

LATER = "2025-12-01"
"""After the time of these tests' blocks, so the chain refuses it; not after this machine's."""


@pytest.fixture
def gateway() -> LedgerGateway:
    return LedgerGateway(consortium())


def entry_of(report: FileReport) -> Entry:
    (entry,) = report.rows
    return entry


def test_a_file_of_many_records_goes_in_by_batches_and_is_known_the_next_time(
    gateway: LedgerGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_BATCH", 40)
    data = package(*(contract(f"c{number:03}") for number in range(100)))
    done, reports = run(gateway, source("a.json", data))
    assert (done.counts, done.files, done.stopped) == (Counter(sealed=100), Counter(sealed=1), "")
    assert [len(transaction.records) for transaction in gateway.sent] == [40, 40, 20]
    report = reports["a.json"]
    assert [entry.index for entry in report.rows] == list(range(100))
    assert {entry.transaction for entry in report.rows} == {tx.id.hex() for tx in gateway.sent}
    (kept,) = gateway.received  # once, not with every batch
    assert decode_raw(kept.data).file == data
    assert kept.kinds == ("contract",)
    assert gateway.stored[sha256(kept.data)] == kept.data
    assert {decode(record)[11][3] for record in gateway.sent[0].records} == {sha256(kept.data)}
    again, _ = run(gateway, source("renamed.json", data, captured_at=1_750_000_999_000))
    assert again.counts == Counter(known=100)
    assert len(gateway.sent) == 3
    assert gateway.lookups == 6


def test_bad_records_are_taken_out_and_all_others_go_in(gateway: LedgerGateway) -> None:
    bad = {7, 8, 40, 77}
    releases = [contract(f"b{number:02}", signed=LATER if number in bad else "2025-05-01") for number in range(80)]
    done, reports = run(gateway, source("a.json", package(*releases)))
    assert done.counts == {"sealed": 76, "refused by the chain": 4}
    refused = [entry for entry in reports["a.json"].rows if entry.outcome == outcomes.REFUSED_BY_CHAIN]
    assert {int(entry.number[-2:]) for entry in refused} == bad
    assert {entry.code for entry in refused} == {"FUTURE_EVENT"}
    assert all(entry.reason.startswith(f"occurred at {LATER}") for entry in refused)
    assert reports["a.json"].outcome == outcomes.REFUSED_BY_CHAIN


def test_what_is_far_ahead_is_not_sent(gateway: LedgerGateway) -> None:
    done, reports = run(gateway, source("a.json", package(contract("f1", signed="2099-01-01"), contract("f2"))))
    assert done.counts == {"sealed": 1}
    ((code, reason),) = reports["a.json"].refusals
    assert code == "FUTURE_EVENT"
    assert "f1: occurred at 2099-01-01" in reason


def test_every_record_bad_ends_too(gateway: LedgerGateway) -> None:
    releases = [contract(f"x{number}", signed=LATER) for number in range(12)]
    done, _ = run(gateway, source("a.json", package(*releases)))
    assert done.counts == {"refused by the chain": 12}


def test_the_same_again_in_one_run_shares_the_outcome(gateway: LedgerGateway) -> None:
    good, bad = package(contract("one")), package(contract("two", signed=LATER))
    done, reports = run(
        gateway, source("a.json", good), source("b.json", good), source("c.json", bad), source("d.json", bad)
    )
    assert [entry_of(reports[name]).outcome for name in ("a.json", "b.json")] == ["sealed", "known"]
    assert entry_of(reports["b.json"]).reason == "the same record as in a.json"
    assert entry_of(reports["b.json"]).id == entry_of(reports["a.json"]).id
    assert entry_of(reports["d.json"]).outcome == outcomes.REFUSED_BY_CHAIN
    assert entry_of(reports["d.json"]).reason.startswith("as in c.json: occurred at")
    assert sum(len(transaction.records) for transaction in gateway.sent) == 3  # the bad one alone once more
    assert done.counts.total() == 4


def test_other_content_in_one_run_is_refused_or_a_correction_after_it(gateway: LedgerGateway) -> None:
    versions = [
        source(f"{name}.json", package(contract("v", amount))) for name, amount in zip("abc", "123", strict=True)
    ]
    refused, reports = run(gateway, *versions)
    assert refused.counts == {"sealed": 1, "refused": 2}
    assert entry_of(reports["b.json"]).code == "CONFLICTING_RECORD"
    _, reports = run(gateway, *versions, correct=True)
    assert [entry_of(reports[f"{name}.json"]).outcome for name in "abc"] == ["known", "corrected", "corrected"]
    again, _ = run(gateway, *versions, correct=True)
    assert again.counts == {"known": 3}  # superseded corrections are recognised, too


def test_all_versions_at_once_in_one_run(gateway: LedgerGateway) -> None:
    versions = [
        source(f"{name}.json", package(contract("w", amount))) for name, amount in zip("abc", "123", strict=True)
    ]
    done, reports = run(gateway, *versions, correct=True)
    assert [entry_of(reports[f"{name}.json"]).outcome for name in "abc"] == ["sealed", "corrected", "corrected"]
    assert done.counts == {"sealed": 1, "corrected": 2}
    entry = gateway.lookup("procurement", [("contract", "GB-COH:77700101", "ocds-test-w/w")])[0]
    assert entry is not None
    assert [len(entry["superseded"]), entry["id"].hex()] == [2, entry_of(reports["c.json"]).id.hex()]


@pytest.mark.parametrize("lose_at", range(6))
def test_a_break_anywhere_is_made_good_by_running_again(lose_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_BATCH", 10)
    monkeypatch.setattr(sending, "IN_FLIGHT", 2)
    gateway = LedgerGateway(consortium())
    gateway.lose_at = lose_at
    files = [
        source(f"{index}.json", package(*(contract(f"r{index}-{number}") for number in range(7))))
        for index in range(5)
    ]
    broken, reports = run(gateway, *files)
    assert broken.stopped
    assert len(reports) == 5
    assert broken.counts.total() == 35
    assert set(broken.counts) <= {"sealed", "unknown", "not sent"}
    assert broken.counts["not sent"] + broken.counts["unknown"] > 0
    gateway.lose_at = None
    done, _ = run(gateway, *files)
    assert set(done.counts) <= {"sealed", "known"}
    assert done.counts.total() == 35
    final, _ = run(gateway, *files)
    assert final.counts == {"known": 35}


def test_the_same_row_on_another_page_is_known(gateway: LedgerGateway) -> None:
    _, first = run(gateway, source("page.json", package(contract("p1"), contract("p2"))))
    done, other = run(gateway, source("other.json", package(contract("p2"), contract("p3"))), correct=True)
    assert done.counts == {"known": 1, "sealed": 1}
    sealed = {entry.number: entry.id for entry in first["page.json"].rows}
    (known,) = [entry for entry in other["other.json"].rows if entry.outcome == "known"]
    assert known.id == sealed[known.number]  # the record that is on the chain, not the one that was read now


def test_what_another_run_seals_in_between_is_known(gateway: LedgerGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between look-up and block the same row of another file is sealed: the chain refuses, the engine looks again."""
    data = package(contract("q1"), contract("q2"))
    stores = gateway.store

    def store_late(documents: Sequence[Document]) -> None:
        monkeypatch.setattr(gateway, "store", stores)
        other = LedgerGateway(gateway.consortium)
        run(other, source("first.json", package(contract("q2"))))
        stores(documents)

    monkeypatch.setattr(gateway, "store", store_late)
    done, _ = run(gateway, source("second.json", data))
    assert done.counts == {"sealed": 1, "known": 1}


def test_good_files_go_in_beside_bad_ones(gateway: LedgerGateway) -> None:
    def unreadable() -> tuple[bytes, int]:
        raise PermissionError(13, "Permission denied")

    done, reports = run(
        gateway,
        source("good.json", package(contract("g"))),
        source("broken.json", package(contract("h"))[:100]),
        source("empty.json", b""),
        Source("secret.json", unreadable),
        source("also-good.json", package(contract("i"))),
    )
    assert done.counts == {"sealed": 2}
    assert done.refused == 3
    assert reports["broken.json"].refusals[0][0] == "BAD_JSON"
    assert reports["secret.json"].refusals == [("FILE", "cannot read it (Permission denied): correct its mode")]
    assert all("\n" not in reason for report in reports.values() for _, reason in report.refusals)


def test_keys_beyond_what_is_remembered_are_compared_with_the_chain(
    gateway: LedgerGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "REMEMBERED", 5)
    data = [package(*(contract(f"m{number}") for number in range(9))), package(contract("m0"), contract("m8"))]
    done, reports = run(gateway, source("a.json", data[0]), source("b.json", data[1]))
    assert done.counts == {"sealed": 9, "known": 2}
    assert [entry.reason for entry in sorted(reports["b.json"].rows, key=lambda e: e.index)] == [
        "",
        "the same record as in a.json",
    ]


def test_a_dry_run_needs_no_gateway_and_seals_nothing() -> None:
    done, reports = run(None, source("a.json", package(contract("d1"), contract("d2"))))
    assert done.counts == {"ready": 2}
    assert reports["a.json"].outcome == outcomes.READY


def test_what_is_listed_is_bounded_and_counts_are_not() -> None:
    report = FileReport("a", Listing(good=2, bad=1))
    for index in range(4):
        entry = Entry(report, index, "invoice", "X", str(index), "erp", bytes(32), outcomes.SEALED)
        report.open += 1
        report.settle(entry)
    report.refuse("BAD_VALUE", "first\nline")
    report.refuse("BAD_VALUE", "second")
    value = report.to_json()
    assert (report.counts, report.refused, value["not_listed"]) == (Counter(sealed=4), 2, 3)
    assert value["refused"] == [{"code": "BAD_VALUE", "reason": "first line"}]
    assert report.outcome == outcomes.REFUSED


def test_progress_says_the_rate_and_what_is_left() -> None:
    text = str(Progress(5_000, 1, 4, 250, 1_000, 2.0))
    assert text == "5000 records (2500 a second), 1 of 4 files, about 6 s left"
    assert str(Progress(0, 0, 1, 0, 10, 0.0)) == "0 records (0 a second), 0 of 1 files"


def test_a_table_goes_in_row_by_row(tmp_path: Path) -> None:
    """A small instance of tests/intake_speed.py: every row a record of ten fields, in batches of 500."""
    gateway = LedgerGateway(Consortium("table"))
    path = tmp_path / "deliveries.csv"
    write_table(path, 1_200, day="2025-05-01")
    member = Member("erp", "erp")
    mapping = mappings.parse(json.dumps(MAPPING).encode(), "mapping.json")
    rules = Rules(library.template("bench"), (member,), member, lambda _member: bytes(32), "test", mapping)
    done = engine.run([source_of(path)], rules, lambda _chain: gateway, on_file=lambda _report: None)
    assert done.counts == {"sealed": 1_200}
    assert [len(transaction.records) for transaction in gateway.sent] == [500, 500, 200]
    entry = gateway.lookup("erp", [("delivery", "BENCH:buyer", "D0000000007")])[0]
    assert entry is not None
    assert len(entry["record"][12]) == 10
