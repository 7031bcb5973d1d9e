"""What a regulator may publish, and what is refused: all of it or nothing, naming column and rule, never a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import gov, market, registry
from contracts import market_schema as schema
from contracts.errors import ContractError
from contracts.market_schema import FEATURES, K, Type, band, coarse
from contracts.neighbours import pack
from tests.contracts import market_data
from tests.contracts.market_data import loans
from tests.contracts.memory_context import CONSORTIUM, Ledger, MemoryContext, Receipt, key

ROLES = {"bank": "lender", "cover": "insurer", "erp": "erp", "regulator": "regulator", "watch": "regulator"}


@pytest.fixture
def ledger() -> Ledger:
    return consortium()


def consortium() -> Ledger:
    modules: dict[str, Any] = {"market": market, "gov": gov, "registry": registry}
    members = [
        {
            "id": member,
            "role": role,
            "validator": key(f"{member} validator") if member == "erp" else None,
            "network": None,
            "signers": [{"key": key(member), "rights": ["*"]}],
        }
        for member, role in ROLES.items()
    ]
    made = Ledger(modules, {"members": members, "parties": [], "parameters": {}, "contracts": {}})
    made.next_block()
    return made


def publish(ledger: Ledger, data: dict[str, Any], chain: str = "regulator", by: str | None = None) -> Receipt:
    return ledger.call(chain, "market.publish", {"dataset": data}, [key(by or chain)])


def good(**changes: Any) -> dict[str, Any]:
    return market_data.document(
        [*loans("bank", 5_000_000), *loans("OUTSIDE", 9_500_000, tenor_months=24)],
        institutions=("OUTSIDE",),
        **changes,
    )


def columns(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in data["columns"]}


def replaced(document: dict[str, Any], column: str, /, **changes: Any) -> dict[str, Any]:
    entries = [{**entry, **changes} if entry["name"] == column else entry for entry in document["columns"]]
    return {**document, "columns": entries}


def test_a_data_set_is_stored_packed_and_can_be_loaded_again(ledger: Ledger) -> None:
    data = good()
    receipt = publish(ledger, data)
    assert receipt.ok, receipt.message
    assert receipt.result["rows"] == 50
    context = MemoryContext(ledger, CONSORTIUM, "match")
    found = market.newest(context, "lending", "GBP", 2)
    assert {name: column.data for name, column in found.columns.items()} == {
        entry["name"]: entry["data"] for entry in data["columns"]
    }
    assert (found.header["groups"], found.header["smallest"]) == (2, 25)
    assert found.reference == ["regulator", "loans", 1, receipt.result["hash"]]


def test_more_records_than_a_page_come_back_in_order(ledger: Ledger) -> None:
    data = market_data.document(
        [row for lot in range(1, 90) for row in loans("bank", 1_000_000, 25, tenor_months=lot)]
    )
    assert data["rows"] > 2 * market.PAGE
    assert publish(ledger, data).ok
    found = market.newest(MemoryContext(ledger, CONSORTIUM, "match"), "lending", "GBP", 2)
    assert found.columns["tenor_months"].data == columns(data)["tenor_months"]["data"]


def test_a_new_version_stands_beside_the_old_one(ledger: Ledger) -> None:
    first = publish(ledger, good()).result
    assert publish(ledger, good()).code == "WRONG_VERSION"
    assert publish(ledger, good(version=3)).code == "WRONG_VERSION"
    second = publish(ledger, good(version=2)).result
    assert first["hash"] != second["hash"]
    assert ledger.read("regulator", "market", "dataset", "loans", 1)["hash"] == first["hash"]
    assert ledger.read("regulator", "market", "current", "loans") == 2


def test_only_a_regulator_publishes_and_only_on_its_own_chain(ledger: Ledger) -> None:
    assert publish(ledger, good(), chain="bank").code == "ROLE_NOT_ALLOWED"
    assert publish(ledger, good(), chain="regulator", by="watch").code == "WRONG_CHAIN"


def test_the_newest_is_chosen_by_height_then_chain(ledger: Ledger) -> None:
    def chosen(wanted: list[str] | None = None, currency: str = "GBP") -> str:
        return market.newest(MemoryContext(ledger, CONSORTIUM, "match"), "lending", currency, 2, wanted).chain

    publish(ledger, good(), chain="watch")
    publish(ledger, good(), chain="regulator")
    assert chosen() == "regulator"
    ledger.next_block()
    publish(ledger, good(version=2), chain="watch")
    assert chosen() == "watch"
    assert chosen(["regulator", "loans"]) == "regulator"
    with pytest.raises(ContractError, match="WRONG_CURRENCY"):
        chosen(["regulator", "loans"], "EUR")
    with pytest.raises(ContractError, match="NO_DATASET"):
        chosen(currency="EUR")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("BorrowerName", "a name"),
        ("lei", "an identifier"),
        ("uscc", "an identifier"),
        ("phone", "a contact"),
        ("e-mail", "a contact"),
        ("account_no", "an account"),
        ("ApprovalDate", "an exact date"),
        ("row_id", "a row or document number"),
        ("remark", "free text"),
        ("zip", "a place"),
    ],
)
def test_a_column_that_identifies_is_refused_by_name_and_rule(ledger: Ledger, name: str, what: str) -> None:
    data = good()
    extra = {"name": name, "width": 1, "data": bytes(50), "low": 0, "high": 1, "weight": 1}
    data["columns"] = sorted([*data["columns"], extra], key=lambda entry: entry["name"])
    receipt = publish(ledger, data)
    assert receipt.code == "IDENTIFYING_COLUMN"
    assert name in receipt.message
    assert what in receipt.message
    assert not ledger.items("regulator", "market")


BAD: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "a column outside the closed list": ("UNKNOWN_COLUMN", lambda d: replaced(d, "tenor_months", name="tenure")),
    "a name where a code belongs": (
        "FREE_TEXT",
        lambda d: replaced(d, "industry", codes=["Acme Ltd"]),
    ),
    "a full industry code": ("FREE_TEXT", lambda d: replaced(d, "industry", codes=["205900"])),
    "an amount to the penny": (
        "NOT_GENERALISED",
        lambda d: replaced(d, "amount", width=4, data=pack([123_456_78] * 50).data),
    ),
    "an exact count": (
        "NOT_GENERALISED",
        lambda d: replaced(d, "tenor_months", width=2, data=pack([111 + 256] * 50).data),
    ),
    "an absurd number": ("ABSURD_VALUE", lambda d: replaced(d, "amount", width=8, data=b"\xff" * 400)),
    "a flag of two": ("ABSURD_VALUE", lambda d: replaced(d, "approved", data=b"\x02" * 50)),
    "an approval of nothing": ("ABSURD_VALUE", lambda d: replaced(d, "limit", width=1, data=bytes(50))),
    "an undeclared institution": ("UNKNOWN_INSTITUTION", lambda d: {**d, "institutions": []}),
    "a member of another role": (
        "UNKNOWN_INSTITUTION",
        lambda d: replaced(d, "lender", codes=["OUTSIDE", "cover"]),
    ),
    "an institution by its name": ("FREE_TEXT", lambda d: {**d, "institutions": ["Bank of X"]}),
    "no lender": ("MISSING_COLUMN", lambda d: {**d, "columns": [e for e in d["columns"] if e["name"] != "lender"]}),
    "no currency": ("WRONG_CURRENCY", lambda d: {**d, "currency": "pounds"}),
    "a truncated column": ("WRONG_DATASET", lambda d: replaced(d, "approved", data=bytes(49))),
    "a column twice": (
        "WRONG_DATASET",
        lambda d: {**d, "columns": sorted([*d["columns"], d["columns"][0]], key=lambda e: e["name"])},
    ),
    "bounds the wrong way round": ("WRONG_ARGUMENT", lambda d: replaced(d, "tenor_months", low=9, high=9)),
    "a code that nobody has": ("WRONG_DATASET", lambda d: replaced(d, "industry", codes=["20", "30"])),
    "a width that is a truth": ("WRONG_ARGUMENT", lambda d: replaced(d, "approved", width=True)),
    "a version that is a truth": ("WRONG_ARGUMENT", lambda d: {**d, "version": True}),
    "columns that are no maps": ("WRONG_ARGUMENT", lambda d: {**d, "columns": ["lender"]}),
    "a data set that is a list": ("WRONG_ARGUMENT", lambda d: {**d, "institutions": "OUTSIDE"}),
    "no records": ("WRONG_ARGUMENT", lambda d: {**d, "rows": 0}),
    "an unknown kind": ("WRONG_DATASET", lambda d: {**d, "kind": "gossip"}),
    "something more": ("UNKNOWN_ARGUMENT", lambda d: {**d, "names": ["Acme"]}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_refused_whole(ledger: Ledger, name: str) -> None:
    code, spoil = BAD[name]
    receipt = publish(ledger, spoil(good()))
    assert receipt.code == code, receipt.message
    assert "\n" not in receipt.message
    assert not ledger.items("regulator", "market")


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=5),
    st.binary(max_size=60),
    st.lists(st.text(max_size=3) | st.integers(-1, 3), max_size=4),
    st.just({}),
)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_a_document_is_taken_or_refused_and_is_no_fault(data: st.DataObject) -> None:
    """MemoryContext lets every other exception through, so a fault of the contract fails here."""
    spoiled = good()
    place = data.draw(st.sampled_from([*spoiled, *(f"column {entry['name']}" for entry in spoiled["columns"])]))
    if place in spoiled:
        spoiled[place] = data.draw(ODD)
    else:
        (entry,) = (entry for entry in spoiled["columns"] if f"column {entry['name']}" == place)
        entry[data.draw(st.sampled_from([*entry, "other"]))] = data.draw(ODD)
    on = consortium()
    receipt = publish(on, spoiled)
    assert receipt.ok or (receipt.code and not on.items("regulator", "market"))


def test_a_group_below_five_is_refused_without_showing_it(ledger: Ledger) -> None:
    rows = [*loans("bank", 5_000_000), *loans("bank", 5_000_000, K - 1, tenor_months=77)]
    receipt = publish(ledger, market_data.document(rows))
    assert receipt.code == "GROUP_TOO_SMALL"
    assert "smallest group has 4 records" in receipt.message
    assert "77" not in receipt.message
    assert not ledger.items("regulator", "market")
    assert publish(ledger, market_data.document([*rows, *loans("bank", 5_000_000, 1, tenor_months=77)])).ok


def test_the_granted_amount_is_part_of_the_group_and_the_lender_is_not(ledger: Ledger) -> None:
    amounts = [*loans("bank", 5_000_000, 3), *loans("bank", 5_500_000, 3)]
    assert publish(ledger, market_data.document(amounts)).code == "GROUP_TOO_SMALL"
    owners = [*loans("bank", 5_000_000, 3), *loans("OTHER", 5_000_000, 3)]
    assert publish(ledger, market_data.document(owners, institutions=("OTHER",))).ok


def test_records_stand_in_the_order_of_their_hashes(ledger: Ledger) -> None:
    data = good()
    turned = [
        {
            **e,
            "data": b"".join(reversed([e["data"][i : i + e["width"]] for i in range(0, len(e["data"]), e["width"])])),
        }
        for e in data["columns"]
    ]
    assert publish(ledger, {**data, "columns": turned}).code == "WRONG_DATASET"


def test_bands_keep_two_digits_and_are_their_own_band() -> None:
    assert [band(value) for value in (0, 7, 12, 99, 104, 105, 149, 996)] == [0, 7, 12, 99, 100, 110, 150, 1_000]
    assert [band(value, 5) for value in (7, 12, 13, 34_300, 97, 98)] == [7, 10, 15, 35_000, 95, 100]
    for value in range(3_000):
        assert band(band(value)) == band(value)
        assert band(band(value, 5), 5) == band(value, 5)


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_has_a_publishable_form(name: str) -> None:
    column = FEATURES[name]
    assert column.quasi
    if column.type not in (Type.CODE, Type.INSTITUTION):
        value = 2_001 if column.type is Type.YEAR else 1
        schema.check_value(name, column, coarse(column, value))


def product(**changes: Any) -> dict[str, Any]:
    base = {
        "insurer": "cover",
        "code": "trade-90",
        "industries": ["20"],
        "not_industries": [],
        "regions": [],
        "not_regions": [],
        "amount_min": 0,
        "amount_max": 50_000_000,
        "tenor_min": 1,
        "tenor_max": 24,
        "composite_min": 0,
        "rate_bp": 120,
        "cover_bp": 9_000,
        "cover_max": 20_000_000,
    }
    return {**base, **changes}


def offers(*listed: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": "offers",
        "kind": "products",
        "version": 1,
        "currency": "GBP",
        "scale": 2,
        "products": list(listed),
        **changes,
    }


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("UNKNOWN_INSTITUTION", offers(product(insurer="bank"))),
        ("WRONG_ARGUMENT", offers(product(amount_min=-1))),
        ("WRONG_ARGUMENT", offers(product(tenor_min=30, tenor_max=12))),
        ("FREE_TEXT", offers(product(industries=["all but shipping"]))),
        ("WRONG_DATASET", offers(product(), product())),
        ("WRONG_ARGUMENT", offers()),
        ("WRONG_CURRENCY", offers(product(), currency="GB")),
        ("UNKNOWN_ARGUMENT", offers(product(comment="cheap"))),
    ],
)
def test_bad_products_are_refused(ledger: Ledger, code: str, data: dict[str, Any]) -> None:
    receipt = publish(ledger, data)
    assert receipt.code == code
    assert not ledger.items("regulator", "market")


def test_products_are_published_and_an_id_keeps_its_kind(ledger: Ledger) -> None:
    assert publish(ledger, offers(product())).ok
    assert ledger.read("regulator", "market", "products", "offers", 1) == [product()]
    assert publish(ledger, good(dataset="offers", version=2)).code == "WRONG_DATASET"
