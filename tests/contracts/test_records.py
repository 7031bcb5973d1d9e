"""The records contract against its rules: natural keys, corrections, template check, dates, running sums."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.codec import decode
from contracts import record as record_module
from contracts.aggregates import KEYS
from contracts.errors import ContractError
from contracts.record import Moment, moment
from contracts.records import CORRECTION, FOLLOWED, IMPLAUSIBLE, MAX_STANDING, MAX_VERSIONS
from tests.contracts.memory_context import CONSORTIUM, START, Ledger, Receipt, key
from tests.contracts.small_consortium import DAY, SUPPLIER, TEMPLATE, adopt, consortium, record, record_id, submit

INVOICE = {"issue_date": "2025-12-31", "currency": "GBP", "total": "120.50"}
DESPATCH = {"issue_date": "2025-12-31", "weight_kg": "12.5", "boxes": "3", "carrier": "Post"}


@pytest.fixture
def ledger() -> Ledger:
    return consortium()


def sums(ledger: Ledger, period: int = 0, enterprise: str = SUPPLIER) -> dict[str, int]:
    """What the records of a period, or of all of them (0), have put in and not taken out again."""
    entry = ledger.read("erp", "records", "sums", enterprise)
    rows = {} if entry is None else {0: entry["total"], **dict(map(tuple, entry["periods"]))}
    return {name: value for name, value in zip(KEYS, rows.get(period, [0] * len(KEYS)), strict=True) if value}


def next_period(ledger: Ledger, **step: int) -> None:
    """The next block, in the next period."""
    entry = ledger.read(CONSORTIUM, "credit", "period")
    ledger.seed(CONSORTIUM, "credit", "period", value={**entry, "number": entry["number"] + 1})
    ledger.next_block(**step)


def outcomes(receipt: Receipt) -> str:
    """A letter for each record of a batch that went in."""
    assert receipt.ok, receipt
    [(name, data)] = receipt.events
    assert (name, list(data)) == ("records_sealed", ["outcomes"])
    return str(data["outcomes"])


# natural keys, known records, corrections ------------------------------------------------------------------------


def test_a_record_is_sealed_under_its_natural_key(ledger: Ledger) -> None:
    data = record("invoice", "A1", INVOICE)
    receipt = submit(ledger, [data])
    assert receipt.ok, receipt
    assert receipt.result == {"sealed": 1, "corrected": 0, "known": 0}
    assert outcomes(receipt) == "s"
    entry = ledger.read("erp", "records", "record", "invoice", SUPPLIER, "A1")
    assert entry["id"] == record_id(data)
    assert entry["record"] == decode(data)
    assert (entry["height"], entry["time"], entry["period"], entry["superseded"]) == (1, ledger.time, 1, [])
    assert ledger.read("erp", "records", "log", 0) == [["invoice", SUPPLIER, "A1", FOLLOWED]]
    assert {name[0] for name in ledger.items("erp", "records")} == {"record", "log", "log_count", "sums"}


def test_the_same_document_taken_in_again_is_known_and_writes_nothing(ledger: Ledger) -> None:
    assert submit(ledger, [record("invoice", "A1", INVOICE)]).ok
    before = ledger.items("erp", "records")
    again = submit(ledger, [record("invoice", "A1", INVOICE, source=["test", "test", "1", bytes(32), 99])])
    assert outcomes(again) == "k"
    assert ledger.items("erp", "records") == before


def test_the_same_key_with_other_content_is_refused_and_names_the_sealed_one(ledger: Ledger) -> None:
    first = record("invoice", "A1", INVOICE)
    assert submit(ledger, [first]).ok
    receipt = submit(ledger, [record("invoice", "A1", {**INVOICE, "total": "121.50"})])
    assert receipt.code == "CONFLICTING_RECORD"
    assert record_id(first).hex() in receipt.message
    assert "invoice 'A1'" in receipt.message


def test_a_correction_supersedes_and_moves_the_sums(ledger: Ledger) -> None:
    first = record("invoice", "A1", INVOICE)
    assert submit(ledger, [first]).ok
    second = record("invoice", "A1", {"issue_date": "2025-12-31"}, corrects=record_id(first))
    next_period(ledger, after_ms=31 * DAY)
    receipt = submit(ledger, [second])
    assert outcomes(receipt) == "c"
    entry = ledger.read("erp", "records", "record", "invoice", SUPPLIER, "A1")
    assert (entry["id"], entry["period"], entry["superseded"]) == (record_id(second), 2, [record_id(first)])
    assert sums(ledger, 1) == {}
    assert sums(ledger, 2)["weight_present"] == 3
    assert sums(ledger) == sums(ledger, 2)
    assert ledger.read("erp", "records", "log", 1) == [["invoice", SUPPLIER, "A1", FOLLOWED | CORRECTION]]


def test_a_correction_must_name_the_latest_version(ledger: Ledger) -> None:
    first = record("invoice", "A1", INVOICE)
    second = record("invoice", "A1", {**INVOICE, "total": "1"}, corrects=record_id(first))
    third = record("invoice", "A1", {**INVOICE, "total": "2"}, corrects=record_id(first))
    assert submit(ledger, [first, second]).result == {"sealed": 1, "corrected": 1, "known": 0}
    assert submit(ledger, [third]).code == "STALE_CORRECTION"
    assert outcomes(submit(ledger, [first, second])) == "kk"  # an old version comes again: nothing new


def test_a_correction_of_nothing_or_of_another_enterprise_is_refused(ledger: Ledger) -> None:
    assert submit(ledger, [record("invoice", "A1", INVOICE, corrects=bytes(32))]).code == "NOTHING_TO_CORRECT"
    first = record("invoice", "A1", INVOICE)
    assert submit(ledger, [first]).ok
    moved = record("invoice", "A1", INVOICE, corrects=record_id(first), enterprise="somebody else")
    assert submit(ledger, [moved]).code == "ENTERPRISE_CHANGED"


def test_a_batch_goes_in_whole_or_not_at_all(ledger: Ledger) -> None:
    before = ledger.items("erp", "records")
    receipt = submit(ledger, [record("invoice", "A1", INVOICE), record("invoice", "A2", {"total": "1"})])
    assert receipt.code == "MISSING_FIELD"
    assert receipt.message.startswith("record 2 (invoice 'A2')")
    assert ledger.items("erp", "records") == before


def test_the_log_lists_what_is_followed_and_what_is_implausible_by_transaction(ledger: Ledger) -> None:
    fields = {**TEMPLATE["kinds"]["despatch"]["fields"], "issue_date": {"type": "date", "weight": 1}}
    weighing = {"category": "process", "uploaders": ["erp"], "fields": fields}
    claim = {**TEMPLATE["kinds"]["invoice"], "follow": False}
    adopt(ledger, {**TEMPLATE, "version": 2, "kinds": {**TEMPLATE["kinds"], "weighing": weighing, "claim": claim}})

    def made(kind: str, number: str, **fields: str) -> bytes:
        return record(kind, number, {"issue_date": "2025-12-31", **fields}, template_version=2)

    assert submit(ledger, [made("weighing", "W1", boxes="40"), made("claim", "Z1")]).ok
    assert ledger.read("erp", "records", "log_count") is None
    batch = [made("weighing", "W2", boxes="41"), made("invoice", "A1"), made("despatch", "D1", boxes="41")]
    assert submit(ledger, batch).ok
    assert submit(ledger, [made("despatch", "D2")]).ok
    assert ledger.read("erp", "records", "log_count") == 2
    assert ledger.read("erp", "records", "log", 0) == [
        ["weighing", SUPPLIER, "W2", IMPLAUSIBLE],
        ["invoice", SUPPLIER, "A1", FOLLOWED],
        ["despatch", SUPPLIER, "D1", FOLLOWED | IMPLAUSIBLE],
    ]
    assert ledger.read("erp", "records", "log", 1) == [["despatch", SUPPLIER, "D2", FOLLOWED]]


def test_standing_keeps_the_newest_qualifications_and_guarantees(ledger: Ledger) -> None:
    spec = {"category": "qualification", "uploaders": ["erp"], "fields": {"name": {"type": "text", "weight": 1}}}
    kinds = {**TEMPLATE["kinds"], "licence": spec, "bond": {**spec, "category": "guarantee"}}
    adopt(ledger, {**TEMPLATE, "version": 2, "kinds": kinds})

    def made(kind: str, number: int, name: str = "x", corrects: bytes | None = None) -> bytes:
        return record(kind, str(number), {"name": name}, template_version=2, corrects=corrects)

    numbers = range(MAX_STANDING + 3)
    assert submit(ledger, [made("licence", number) for number in numbers]).ok
    assert submit(ledger, [made("bond", 0), made("licence", 9, "y", record_id(made("licence", 9)))]).ok
    standing = ledger.read("erp", "records", "standing", SUPPLIER)
    assert len(standing) == MAX_STANDING
    assert standing[-2:] == [["licence", SUPPLIER, str(numbers[-1])], ["bond", SUPPLIER, "0"]]
    assert standing[0] == ["licence", SUPPLIER, "4"]


def test_a_record_has_a_bounded_number_of_versions(ledger: Ledger) -> None:
    data = record("invoice", "A1", INVOICE)
    assert submit(ledger, [data]).ok
    for version in range(1, MAX_VERSIONS):
        data = record("invoice", "A1", {**INVOICE, "total": str(version)}, corrects=record_id(data))
        assert submit(ledger, [data]).ok
    data = record("invoice", "A1", {**INVOICE, "total": "0"}, corrects=record_id(data))
    assert submit(ledger, [data]).code == "TOO_MANY_VERSIONS"


def test_samples_name_the_records_that_lower_a_measure(ledger: Ledger) -> None:
    ledger.next_block(after_ms=DAY)
    whole = {**DESPATCH, "lines": [["1", "x", "5", "EA", "", ""]]}
    late = [record("despatch", f"D{day}", whole, occurred_at=f"2025-12-{day}") for day in range(20, 26)]
    bare = record("despatch", "B1", {"issue_date": "2026-01-02", "boxes": "41"}, occurred_at="2026-01-02")
    assert submit(ledger, [*late, bare]).ok
    samples = ledger.read("erp", "records", "sums", SUPPLIER)["samples"]
    assert [row[2] for row in samples["timeliness"]] == ["D20", "D21", "D22", "D23"]  # the latest of the batch
    assert samples["conformity"] == samples["accuracy"] == [[record_id(bare), "despatch", "B1"]]
    mended = record("despatch", "B1", whole, occurred_at="2026-01-02", corrects=record_id(bare))
    newer = record("despatch", "D30", whole, occurred_at="2025-12-30")
    assert submit(ledger, [mended, newer]).ok
    samples = ledger.read("erp", "records", "sums", SUPPLIER)["samples"]
    assert [row[2] for row in samples["timeliness"]] == ["D30", "D20", "D21", "D22"]
    assert list(samples) == ["timeliness"]  # what has been put right is not shown any more


def test_only_the_member_itself_writes_its_chain(ledger: Ledger) -> None:
    data = record("invoice", "A1", INVOICE)
    assert submit(ledger, [data], chain="erp", signer="lender").code == "WRONG_CHAIN"
    assert submit(ledger, [data], chain="erp", signer="stranger").code == "UNKNOWN_SIGNER"
    assert submit(ledger, [data], chain="erp", signer="acme").code == "ROLE_NOT_ALLOWED"


def test_the_template_says_who_uploads_what(ledger: Ledger) -> None:
    receipt = submit(ledger, [record("invoice", "A1", INVOICE)], chain="procurement")
    assert receipt.code == "UPLOADER_NOT_ALLOWED"
    assert "erp" in receipt.message


def test_unknown_template_version_and_kind(ledger: Ledger) -> None:
    assert submit(ledger, [record("invoice", "A1", INVOICE, template="nope")]).code == "UNKNOWN_TEMPLATE"
    assert submit(ledger, [record("invoice", "A1", INVOICE, template_version=2)]).code == "UNKNOWN_TEMPLATE"
    assert submit(ledger, [record("remittance", "A1", INVOICE)]).code == "UNKNOWN_KIND"


def test_templates_of_one_name_and_other_content_are_not_mixed_up() -> None:
    one, other = consortium(), consortium()
    invoice = {**TEMPLATE["kinds"]["invoice"], "fields": {"total": {"type": "integer", "weight": 1}}}
    adopt(other, {**TEMPLATE, "kinds": {"invoice": invoice}})
    whole = record("invoice", "A1", {"total": "120"})
    for _ in range(2):
        assert submit(one, [whole]).code == "MISSING_FIELD"
        assert submit(other, [whole]).ok


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("total", "12,50", "decimal number"),
        ("total", "1e3", "decimal number"),
        ("total", "١٢", "decimal number"),
        ("total", "12.345", "at most 2 places"),
        ("total", " 12", "decimal number"),
        ("total", "NaN", "decimal number"),
        ("total", "9" * 40, "decimal number"),
        ("total", "", "decimal number"),
        ("total", 12, "text"),
        ("total", [["1", "", "", "", "", ""]], "decimal number"),
        ("issue_date", "2025-02-29", "date"),
        ("issue_date", "31.12.2025", "date"),
        ("currency", "", "code"),
        ("currency", "G\nBP", "code"),
        ("currency", "GBP\x1b[2J", "code"),
    ],
)
def test_a_field_of_the_wrong_type_is_named_with_what_it_should_be(
    ledger: Ledger, field: str, value: Any, expected: str
) -> None:
    receipt = submit(ledger, [record("invoice", "A1", {**INVOICE, field: value})])
    assert receipt.code == "WRONG_FIELD_TYPE", receipt
    assert repr(field) in receipt.message
    assert expected in receipt.message
    assert "\n" not in receipt.message


@pytest.mark.parametrize("value", ["120", "120.5", "120.50", "120.500", "-120.5", "+1", "0"])
def test_money_in_any_plain_form(ledger: Ledger, value: str) -> None:
    assert submit(ledger, [record("invoice", "A1", {**INVOICE, "total": value})]).ok


def test_lines_have_six_columns_and_numbers_where_numbers_belong(ledger: Ledger) -> None:
    def with_lines(lines: Any) -> Any:
        return submit(ledger, [record("despatch", "D1", {**DESPATCH, "lines": lines})])

    assert with_lines([["1", "x", "5 pcs", "EA", "", ""]]).code == "WRONG_FIELD_TYPE"
    assert with_lines([["1", "x", "5", "EA"]]).code == "MALFORMED_RECORD"
    assert with_lines("5").code == "WRONG_FIELD_TYPE"
    assert with_lines([]).code == "WRONG_FIELD_TYPE"
    assert with_lines([["1", "x", "5", "EA", "", ""]] * 1_001).code == "RECORD_TOO_LARGE"
    assert with_lines([["1", "x", "5", "EA", "", "12.345678"]]).ok


def test_fields_that_are_unknown_missing_or_to_be_sealed(ledger: Ledger) -> None:
    unknown = submit(ledger, [record("invoice", "A1", {**INVOICE, "colour": "red"})])
    assert (unknown.code, "'colour'" in unknown.message) == ("UNKNOWN_FIELD", True)
    missing = submit(ledger, [record("invoice", "A1", {"total": "1"})])
    assert (missing.code, "'issue_date'" in missing.message) == ("MISSING_FIELD", True)
    sealed = submit(ledger, [record("despatch", "D1", {**DESPATCH, "driver": "Jo"})])
    assert (sealed.code, "'driver'" in sealed.message) == ("SEALED_FIELD", True)


def test_records_too_large_or_malformed(ledger: Ledger) -> None:
    many = {f"f{index}": "1" for index in range(65)}
    assert submit(ledger, [record("invoice", "A1", many)]).code == "RECORD_TOO_LARGE"
    assert submit(ledger, [record("despatch", "D1", {**DESPATCH, "carrier": "x" * 5_000})]).code == "RECORD_TOO_LARGE"
    links = [["order", SUPPLIER, str(index)] for index in range(65)]
    assert submit(ledger, [record("invoice", "A1", INVOICE, links=sorted(links))]).code == "RECORD_TOO_LARGE"
    for change in (
        {"links": [["order", "", "2"], ["order", "", "1"]]},
        {"links": [["order", "", "1"], ["order", "", "1"]]},
        {"links": [["order", ""]]},
        {"issuer": ""},
        {"enterprise": 7},
        {"template_version": True},
        {"source": ["a", "b", "c", b"short", 1]},
        {"sealed_root": b"short"},
        {"corrects": "text"},
    ):
        assert submit(ledger, [record("invoice", "A1", INVOICE, **change)]).code == "MALFORMED_RECORD", change


def test_arguments_and_batch_size(ledger: Ledger) -> None:
    signers = [key("erp")]
    assert ledger.call("erp", "records.submit", {"count": 0}, signers).code == "MISSING_ARGUMENT"
    args = {"count": 0, "records_root": bytes(32)}
    assert ledger.call("erp", "records.submit", args, signers).code == "WRONG_BATCH"
    assert ledger.call("erp", "records.submit", {**args, "force": 1}, signers).code == "UNKNOWN_ARGUMENT"


# dates -----------------------------------------------------------------------------------------------------------


@given(st.dates(min_value=date(1, 1, 1)))
def test_days_agree_with_the_calendar(day: date) -> None:
    days = (day - date(1970, 1, 1)).days
    assert record_module.days_from_civil(day.year, day.month, day.day) == days
    assert record_module.civil_from_days(days) == (day.year, day.month, day.day)
    assert moment(day.isoformat()) == Moment(days * 86_400, days * 86_400 + 86_400)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))
def test_instants_agree_with_the_calendar(instant: datetime) -> None:
    seconds = int(instant.replace(microsecond=0, tzinfo=UTC).timestamp())
    assert moment(instant.strftime("%Y-%m-%dT%H:%M:%SZ")) == Moment(seconds, seconds)


@pytest.mark.parametrize(
    "text",
    ["2026-13-01", "2026-00-10", "2026-04-31", "1900-02-29", "0000-01-01", "2026-1-1", "2026-01-01T00:00:00",
     "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01 ", "２０２６-01-01", ""],
)  # fmt: skip
def test_no_dates(text: str) -> None:
    with pytest.raises(ContractError) as caught:
        moment(text)
    assert caught.value.code == "WRONG_DATE"


def test_a_day_of_a_time_zone_ends_when_it_ends_there() -> None:
    utc = moment("2026-01-01")
    assert moment("2026-01-01", 480) == Moment(utc.first - 8 * 3_600, utc.last - 8 * 3_600)


def test_upload_before_the_first_possible_moment_is_refused(ledger: Ledger) -> None:
    day = "2026-01-03"
    midnight = START + 2 * DAY
    ledger.next_block(time=midnight - 1)
    early = submit(ledger, [record("invoice", "A1", INVOICE, occurred_at=day)])
    assert early.code == "FUTURE_EVENT"
    ledger.next_block(time=midnight)
    assert submit(ledger, [record("invoice", "A1", INVOICE, occurred_at=day)]).ok
    assert sums(ledger)["bill_delay_count"] == 1
    assert "bill_delay_sum" not in sums(ledger)  # the day is not over: never below 0


# running sums ----------------------------------------------------------------------------------------------------


def test_delay_counts_from_the_end_of_the_day_in_seconds_rounded_up(ledger: Ledger) -> None:
    ledger.next_block(time=START + 1)
    assert submit(ledger, [record("invoice", "A1", INVOICE, occurred_at="2025-12-31")]).ok
    assert submit(ledger, [record("despatch", "D1", DESPATCH, occurred_at="2025-12-31T23:00:00Z")]).ok
    assert sums(ledger)["bill_delay_sum"] == 1
    assert sums(ledger)["process_delay_sum"] == 3_601


def test_conformity_counts_the_weights_of_open_fields(ledger: Ledger) -> None:
    assert submit(ledger, [record("despatch", "D1", DESPATCH), record("invoice", "A1", INVOICE)]).ok
    found = sums(ledger)
    assert (found["weight_present"], found["weight_total"]) == (3 + 2 + 1 + 1 + 8, 11 + 8)
    assert (found["process_count"], found["bill_count"]) == (1, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (1, 1)),
        ({"weight_kg": "0.5"}, (1, 1)),
        ({"weight_kg": "0.499"}, (1, 0)),
        ({"weight_kg": "100.0"}, (1, 1)),
        ({"boxes": "41"}, (1, 0)),
        ({"lines": [["1", "x", "1000", "", "", ""], ["2", "y", "", "", "", ""]]}, (1, 1)),
        ({"lines": [["1", "x", "1000", "", "", ""], ["2", "y", "1000.1", "", "", ""]]}, (1, 0)),
    ],
)
def test_valid_range(ledger: Ledger, change: dict[str, Any], expected: tuple[int, int]) -> None:
    assert submit(ledger, [record("despatch", "D1", {**DESPATCH, **change})]).ok
    assert (sums(ledger).get("range_total", 0), sums(ledger).get("range_within", 0)) == expected


def test_a_record_without_ranged_values_is_not_judged(ledger: Ledger) -> None:
    assert submit(ledger, [record("despatch", "D1", {"issue_date": "2025-12-31"})]).ok
    assert "range_total" not in sums(ledger)


def test_contracts_have_no_sums(ledger: Ledger) -> None:
    receipt = submit(ledger, [record("contract", "C1", {"value": "1000"})], chain="procurement")
    assert receipt.ok
    assert ledger.read("procurement", "records", "sums", SUPPLIER) is None


def test_history_brought_in_time_leaves_timeliness_and_counts_in_all_else(ledger: Ledger) -> None:
    party = {"id": "supplier", "name": "Supplier", "identifiers": [SUPPLIER]}
    assert submit(ledger, [record("invoice", "A0", INVOICE)]).ok  # before onboarding: an ordinary, late bill
    assert ledger.call(CONSORTIUM, "registry.register_party", party, [key("erp")]).ok
    assert submit(ledger, [record("invoice", "A1", INVOICE)]).ok  # same block: the registry is read as of h - 1
    assert "historical_count" not in sums(ledger)
    ledger.next_block(after_ms=DAY)
    assert submit(ledger, [record("invoice", "A2", INVOICE), record("despatch", "D1", DESPATCH)]).ok
    found = sums(ledger)
    assert found["historical_count"] == 2
    assert (found["bill_count"], found["bill_delay_count"]) == (3, 2)
    assert "process_delay_count" not in found
    new = record("invoice", "A3", INVOICE, occurred_at="2026-01-02")  # an event after onboarding is no history
    assert submit(ledger, [new]).ok
    assert sums(ledger)["bill_delay_count"] == 3
    next_period(ledger, after_ms=31 * DAY)
    assert submit(ledger, [record("invoice", "A4", INVOICE)]).ok  # past the window an old event counts as late
    late = sums(ledger, 2)
    assert (late["bill_delay_count"], late.get("historical_count", 0)) == (1, 0)
    assert late["bill_delay_sum"] > 31 * DAY // 1_000
