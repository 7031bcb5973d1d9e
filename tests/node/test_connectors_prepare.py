"""Drafts to records: open and sealed fields, identity, routing; the example documents under the real template."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chain.codec import decode
from chain.crypto import hash_value, sha256
from chain.sealed import decode_body
from contracts import documents, record, template, truth
from contracts.matching import Book
from genesis import library
from node.connectors import FORMATS, ConnectorError, Prepared, Provenance, detect, read, route, to_record, uploaders
from node.connectors.routing import Member
from tests.connector_samples import EXAMPLE, ROOT, invoice

TEMPLATE = library.template("general-trade")
SECRET = bytes(range(32))
SEALED_AT = 1_795_500_000_000
MEMBERS = [
    Member("erp", "erp"),
    Member("guarantor", "guarantor"),
    Member("lender", "lender"),
    Member("procurement", "procurement"),
]


def lookup(_kind: str) -> Mapping[str, Any]:
    return TEMPLATE


def prepare(data: bytes, *, at: int = 1_795_500_000_000, secret: bytes = SECRET) -> Prepared:
    (draft,) = read(data, "f")
    return to_record(draft, lookup, detect(data, "f"), Provenance("sap", sha256(data), at), secret)


BILL = invoice(
    middle="<cac:PaymentMeans><cac:PayeeFinancialAccount><cbc:ID>ACC-1</cbc:ID></cac:PayeeFinancialAccount>"
    "</cac:PaymentMeans>"
)


def test_the_record_array() -> None:
    prepared = prepare(BILL)
    assert prepared.record == [
        "tally/record",
        1,
        "invoice",
        "GB-COH:2",
        "I1",
        "GB-COH:2",
        "GB-COH:1",
        "general-trade",
        1,
        "2026-10-16",
        [],
        ["sap", "ubl-invoice", "1", sha256(BILL), 1_795_500_000_000],
        {
            "issue_date": "2026-10-16",
            "currency": "GBP",
            "total": "12.50",
            "lines": [["1", "", "5", "C62", "", "12.50"]],
        },
        prepared.sealed.root if prepared.sealed else None,
        None,
    ]
    assert decode(prepared.encoded) == prepared.record
    assert prepared.id == sha256(prepared.encoded)
    assert record.parse(prepared.record).natural_key == ("invoice", "GB-COH:2", "I1")


def test_the_same_document_twice_is_the_same_record() -> None:
    first, again, later = prepare(BILL), prepare(BILL), prepare(BILL, at=1_795_500_000_001)
    assert first.encoded == again.encoded
    assert first.encoded != later.encoded
    assert record.content_hash(first.record, hash_value) == record.content_hash(later.record, hash_value)


def test_a_sealed_value_is_not_in_the_record_and_opens_alone() -> None:
    prepared = prepare(BILL)
    assert b"ACC-1" not in prepared.encoded
    assert prepared.sealed is not None
    body = decode_body(prepared.sealed.encode(), prepared.record[13])
    opening = body.open("payee_account")
    assert opening.value == "ACC-1"
    assert opening.verify(prepared.record[13])


def test_a_field_that_the_template_does_not_name_is_sealed() -> None:
    narrow = {**TEMPLATE, "kinds": {"invoice": {**TEMPLATE["kinds"]["invoice"], "fields": {
        "total": {"type": "money", "weight": 1, "open": True},
        "currency": {"type": "code", "weight": 1},
        "lines": {"type": "lines", "weight": 1, "open": False},
    }}}}  # fmt: skip
    (draft,) = read(BILL, "f")
    prepared = to_record(draft, lambda _: narrow, detect(BILL, "f"), Provenance("s", bytes(32), 0), SECRET)
    assert sorted(prepared.record[12]) == ["currency", "total"]
    assert prepared.sealed is not None
    assert [name for name, _, _ in prepared.sealed.fields] == ["issue_date", "lines", "payee_account"]


def test_what_the_contract_would_refuse_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ConnectorError, match="template 'general-trade' has no kind 'waybill'"):
        uploaders("waybill", TEMPLATE)
    with pytest.raises(ConnectorError, match="use a consortium's"):
        uploaders("invoice", {"id": "x", "version": 1})
    with pytest.raises(ConnectorError, match="'total' must be money, a decimal number with at most 4 places"):
        prepare(BILL.replace(b">12.50</cbc:PayableAmount>", b">12.50001</cbc:PayableAmount>"))


def test_routing_follows_the_template() -> None:
    kinds = ("contract", "order", "receipt", "despatch", "invoice", "credit_note", "guarantee", "qualification")
    assert [route(kind, TEMPLATE, MEMBERS) for kind in kinds] == [
        "procurement", "procurement", "procurement", "erp", "erp", "erp", "guarantor", "procurement",
    ]  # fmt: skip
    two = [*MEMBERS, Member("a-platform", "procurement"), Member("z-erp", "erp")]
    assert route("order", TEMPLATE, two) == "a-platform"
    assert route("order", TEMPLATE, two, own="procurement") == "procurement"
    assert route("order", TEMPLATE, two, own="z-erp") == "a-platform"
    assert route("qualification", TEMPLATE, two, own="guarantor") == "guarantor"
    with pytest.raises(ConnectorError, match="no member may submit a guarantee: add a member"):
        route("guarantee", TEMPLATE, [Member("erp", "erp")])


def example() -> dict[str, Prepared]:
    return {path.name: prepare(path.read_bytes()) for path in sorted(EXAMPLE.iterdir())}


def verdicts(prepared: dict[str, Prepared]) -> dict[str, str]:
    """number of each bill → what truth says of it, from the real contract."""
    book = Book(
        [
            documents.document(
                "erp",
                {"record": item.record, "id": item.id, "time": SEALED_AT, "height": 1, "since": 1, "period": 1},
                TEMPLATE,
            )
            for item in prepared.values()
        ],
        lambda identifier: identifier,
    )
    return {verdict.bill.number: verdict.status for verdict in truth.judge(book)}


def test_the_example_documents_fill_every_field_the_template_asks_for() -> None:
    kinds: dict[str, int] = {}
    for name, item in example().items():
        parsed = record.parse(item.record)
        rules = template.compiled(TEMPLATE).kinds[parsed.kind]
        assert template.check_fields(rules, parsed.fields) == rules.asked, f"{name} is not complete"
        assert template.within_ranges(rules, parsed.fields) is not False
        kinds[parsed.kind] = kinds.get(parsed.kind, 0) + 1
    assert kinds == {
        "contract": 1,
        "despatch": 3,
        "guarantee": 1,
        "invoice": 3,
        "order": 2,
        "qualification": 1,
        "receipt": 3,
    }


def test_the_example_is_about_one_enterprise_and_nothing_in_it_lies_after_its_writing() -> None:
    records = [record.parse(item.record) for item in example().values()]
    assert {item.enterprise for item in records} == {"GB-COH:99900217"}
    written = datetime.date(2026, 11, 24)
    for item in records:
        assert datetime.date(2026, 10, 1) <= datetime.date.fromisoformat(item.occurred_at[:10]) <= written


def test_the_example_bills_are_true_and_one_altered_quantity_is_noticed() -> None:
    assert verdicts(example()) == {"KPV-0811": "matched", "KPV-0826": "matched", "KPV-0854": "matched"}
    altered = example()
    (name,) = [name for name, item in altered.items() if item.record[4] == "GR-30457"]
    data = (EXAMPLE / name).read_bytes()
    changed = data.replace(b'unitCode="C62">18<', b'unitCode="C62">16<')
    assert changed != data
    altered[name] = prepare(changed)
    assert verdicts(altered) == {"KPV-0811": "matched", "KPV-0826": "matched", "KPV-0854": "contradicted"}


def test_file_names_mean_nothing(tmp_path: Path) -> None:
    for number, path in enumerate(sorted(EXAMPLE.iterdir())):
        renamed = tmp_path / f"{number}.dat"
        renamed.write_bytes(path.read_bytes())
        assert read(renamed.read_bytes(), renamed.name) == read(path.read_bytes(), path.name)


def test_the_documentation_names_every_format() -> None:
    page = (ROOT / "docs" / "data-exchange.md").read_text()
    table = page.partition("## Formats")[2].partition("\n## ")[0]
    for connector in FORMATS:
        row = next(
            line for line in table.splitlines() if line.startswith(f"| `{connector.name}` | {connector.format} |")
        )
        assert all(f"`{kind}`" in row for kind in connector.kinds)
    assert table.count("\n| `") == len(FORMATS)
