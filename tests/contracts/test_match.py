"""Target lender and insurer: from a sealed story, published data and a dumb second implementation of the rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.crypto import hash_value
from contracts import credit, gov, market, match, neighbours, preferences, records, registry
from contracts.market import record_hash
from contracts.preferences import MIN_RECORDS
from contracts.statistics import B
from node.connectors import market_document
from tests.contracts import market_data, trading
from tests.contracts.credit_story import apply, assess, tell_story
from tests.contracts.market_data import loans
from tests.contracts.memory_context import CONSORTIUM, Ledger, Receipt, key
from tests.contracts.small_consortium import record_id
from tests.contracts.test_market import offers, product
from tests.contracts.trading import ok

LENDERS = ("lender", "lender-b", "lender-c", "lender-d")
INSURERS = ("cover", "cover-b", "cover-c")
LIMIT = 3_665_544  # of the story, in pence: worked out by hand in test_credit.py
NEAR = 3_500_000


def consortium(**papers: bytes) -> Ledger:
    """The trading consortium with more lenders, insurers and a regulator, its story told."""
    base = trading.genesis_document()
    for member in (*LENDERS[1:], *INSURERS):
        role = "lender" if member in LENDERS else "insurer"
        signers = [{"key": key(member), "rights": ["*"]}]
        base["members"].append({"id": member, "role": role, "validator": None, "network": None, "signers": signers})
    modules: dict[str, Any] = {
        "credit": credit, "gov": gov, "records": records, "registry": registry, "market": market, "match": match,
    }  # fmt: skip
    on = Ledger(modules, base)
    on.next_block()
    trading.register_supplier(on)
    on.next_block()
    tell_story(on, **papers)
    return on


def publish(on: Ledger, rows: Iterable[dict[str, Any]], kind: str = "lending", **changes: Any) -> None:
    data = market_data.document(rows, kind, dataset=kind, **changes)
    ok(on.call("regulator", "market.publish", {"dataset": data}, [key("regulator")]))


def asked(on: Ledger, assessed: bool = True) -> bytes:
    identity: bytes = ok(apply(on, lender=""))["id"]
    if assessed:
        assess(on, identity)
    return identity


def call(on: Ledger, method: str, application: bytes, by: str = "procurement", **more: Any) -> Receipt:
    return on.call(CONSORTIUM, f"match.{method}", {"application": application, **more}, [key(by)])


def result(on: Ledger, receipt: Receipt) -> dict[str, Any]:
    found = on.read(CONSORTIUM, "match", "match", ok(receipt)["id"])
    assert isinstance(found, dict)
    return found


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {entry["lender"]: entry["verdict"] for entry in found["entries"]}


def test_the_lender_whose_predicted_limit_is_closest_is_named_and_explained() -> None:
    on = consortium()
    publish(
        on, [*loans("lender", 9_000_000), *loans("lender-b", NEAR), *loans("lender-c", 500_000)], neighbourhood=75
    )
    receipt = call(on, "lender", asked(on))
    assert (receipt.result["target"], receipt.result["predicted"], receipt.result["limit"]) == (
        "lender-b",
        NEAR,
        LIMIT,
    )
    found = result(on, receipt)
    assert [(e["lender"], e["gap"]) for e in found["entries"]] == [
        ("lender-b", LIMIT - NEAR), ("lender-c", LIMIT - 500_000), ("lender", 9_000_000 - LIMIT),
    ]  # fmt: skip
    assert found["features"] == {"amount": 10_000_000, "industry": "20"}
    assert found["unknown"] == ["tenor_months"]
    assert found["bands"] == {"amount": [10_000_000, 10_000_000], "industry": ["20"]}
    ((name, data),) = receipt.events
    assert (name, data["to"], data["target"]) == (
        "lender_matched",
        ["lender-b", "procurement", "supplier"],
        "lender-b",
    )
    assert on.read(CONSORTIUM, "match", "of", found["application"], "lending") == [found["id"]]


def test_the_target_can_be_chosen_and_decides() -> None:
    on = consortium()
    publish(on, [*loans("lender-c", NEAR), *loans("lender-b", 900_000)], neighbourhood=50)
    application = asked(on)
    target = call(on, "lender", application).result["target"]
    ok(on.call(CONSORTIUM, "credit.choose", {"application": application, "lender": target}, [key("procurement")]))
    assert on.read(CONSORTIUM, "credit", "application", application)["lender"] == target == "lender-c"


def test_a_tie_goes_to_the_first_id() -> None:
    on = consortium()
    publish(on, [*loans("lender-c", NEAR), *loans("lender-b", NEAR)], neighbourhood=50)
    assert call(on, "lender", asked(on)).result["target"] == "lender-b"


def test_who_is_left_out_and_why() -> None:
    on = consortium()
    rows = [
        *loans("lender", 4_000_000, 50),
        *loans("lender-b", 3_500_000, MIN_RECORDS - 1),
        *loans("lender-c", 3_500_000, 10),
        *loans("lender-c", 0, 15),
        *loans("lender-d", 3_500_000, 30, industry="45", amount=900_000_000),
        *loans("OUTSIDE", 3_500_000, 30),
    ]
    publish(on, rows, institutions=("OUTSIDE",), neighbours=21)
    found = result(on, call(on, "lender", asked(on)))
    assert verdicts(found) == {
        "lender": "IN_RUNNING",
        "lender-b": "INSUFFICIENT",
        "lender-c": "DECLINES",
        "lender-d": "OTHERS_PREFERRED",
        "OUTSIDE": "NOT_A_MEMBER",
    }
    assert found["target"] == "lender"
    shown = {entry["lender"]: entry["predicted"] for entry in found["entries"]}
    assert shown["lender-d"] == 3_500_000
    assert shown["OUTSIDE"] is shown["lender-c"] is None


def test_half_of_the_nearest_declined_is_not_most_of_them() -> None:
    on = consortium()
    publish(on, [*loans("lender", NEAR, 10), *loans("lender", 0, 10)], neighbours=20)
    assert verdicts(result(on, call(on, "lender", asked(on)))) == {"lender": "IN_RUNNING"}


def test_where_nobody_is_left_the_target_is_nobody() -> None:
    on = consortium()
    publish(on, loans("lender", NEAR, 10))
    receipt = call(on, "lender", asked(on))
    assert receipt.result["target"] == ""
    assert receipt.result["predicted"] is None


def test_an_assessment_can_be_named_and_an_old_one_is_matched_as_it_was() -> None:
    on = consortium()
    publish(on, loans("lender", NEAR))
    application = asked(on)
    named = on.read(CONSORTIUM, "credit", "application", application)["assessments"][0]
    by_id = on.call(CONSORTIUM, "match.lender", {"assessment": named}, [key("erp")])
    assert result(on, by_id)["assessment"] == named


@pytest.mark.parametrize("by", ["erp", "lender", "regulator", "buyer"])
def test_members_and_parties_to_the_deal_may_ask(by: str) -> None:
    on = consortium()
    publish(on, loans("lender", NEAR))
    assert call(on, "lender", asked(on), by=by).ok


def test_bad_requests_are_typed() -> None:
    on = consortium()
    application = asked(on)
    assert call(on, "lender", application).code == "NO_DATASET"
    assert call(on, "insurer", application).code == "NO_DATASET"
    publish(on, loans("lender", NEAR))
    assert call(on, "lender", bytes(32)).code == "UNKNOWN_APPLICATION"
    assert on.call(CONSORTIUM, "match.lender", {"assessment": bytes(32)}, [key("erp")]).code == "UNKNOWN_ASSESSMENT"
    assert on.call(CONSORTIUM, "match.lender", {}, [key("erp")]).code == "WRONG_ARGUMENT"
    assert call(on, "lender", application, dataset=["regulator"]).code == "WRONG_ARGUMENT"
    assert call(on, "lender", application, dataset=["regulator", "other"]).code == "NO_DATASET"


def test_amounts_of_two_currencies_are_never_compared() -> None:
    on = consortium()
    publish(on, loans("lender", NEAR), currency="USD")
    application = asked(on)
    assert call(on, "lender", application).code == "NO_DATASET"
    assert call(on, "lender", application, dataset=["regulator", "lending"]).code == "WRONG_CURRENCY"


def test_without_assessment_or_limit_there_is_no_match() -> None:
    on = consortium()
    publish(on, loans("lender", NEAR))
    application = asked(on, assessed=False)
    assert call(on, "lender", application).code == "NOT_ASSESSED"
    poor = consortium(qualification=b"")
    publish(poor, loans("lender", NEAR))
    application = asked(poor)
    assert call(poor, "lender", application).code == "NO_LIMIT"
    assert poor.read(CONSORTIUM, "match", "of", application, "lending") is None


# insurers --------------------------------------------------------------------------------------------------------


def cover(insurer: str, accepted: int, count: int = 25, **cells: Any) -> list[dict[str, Any]]:
    base = {"insurer": insurer, "accepted": accepted, "cover": 9_000_000, "industry": "20", "amount": 10_000_000}
    return [{**base, **cells} for _ in range(count)]


def insured(*listed: dict[str, Any]) -> tuple[Ledger, bytes]:
    on = consortium()
    ok(on.call("regulator", "market.publish", {"dataset": offers(*listed)}, [key("regulator")]))
    rows = [*cover("cover", 1), *cover("cover-b", 1, 15), *cover("cover-b", 0, 10), *cover("cover-c", 0)]
    publish(on, rows, "underwriting", neighbours=25)
    return on, asked(on)


def open_product(insurer: str, code: str = "p", **changes: Any) -> dict[str, Any]:
    return product(**{"insurer": insurer, "code": code, "tenor_min": 0, "industries": [], **changes})


def test_the_insurer_that_accepts_the_like_comes_first_then_rate_then_cover() -> None:
    wide = {"amount_max": 2**50, "tenor_max": 1_200}
    listed = [
        open_product("cover", "a-dear", rate_bp=300, **wide),
        open_product("cover", "b-cheap", rate_bp=100, cover_max=1_000_000, **wide),
        open_product("cover", "c-more", rate_bp=100, cover_max=5_000_000, **wide),
        open_product("cover-b", "free", rate_bp=0, **wide),
    ]
    on, application = insured(*listed)
    seal_period(on)
    assess(on, application)
    receipt = call(on, "insurer", application)
    assert (receipt.result["target"], receipt.result["product"], receipt.result["acceptance"]) == (
        "cover",
        "c-more",
        B,
    )
    assert "unproven" in receipt.result["note"]
    found = result(on, receipt)
    order = [(e["product"], e["verdict"], e["acceptance"], e["cover"]) for e in found["entries"]]
    assert order == [
        ("c-more", "IN_RUNNING", B, 5_000_000),
        ("b-cheap", "IN_RUNNING", B, 1_000_000),
        ("a-dear", "IN_RUNNING", B, 9_000_000),
        ("free", "IN_RUNNING", 6_000, 9_000_000),
    ]


def seal_period(on: Ledger) -> None:
    """The contract again, now with its period: twelve months and a day."""
    first = trading.contract()
    longer = trading.paper(
        "contract", "C-1", trading.BUYER,
        {**trading.decode_record(first)[12], "period_start": "2025-12-01", "period_end": "2026-12-02"},
        occurred_at="2025-11-30", corrects=record_id(first),
    )  # fmt: skip
    trading.seal(on, "procurement", longer)
    ok(trading.confirm(on, longer, "buyer"))


def test_each_predicate_that_excludes_a_product_is_named() -> None:
    listed = [
        open_product("cover", "a", tenor_min=1),
        open_product("cover", "b", industries=["45"]),
        open_product("cover", "c", not_industries=["205"]),
        open_product("cover", "d", regions=["FR"]),
        open_product("cover", "e", amount_max=100),
        open_product("cover", "f", composite_min=9_900),
        open_product("cover-c", "g"),
    ]
    on, application = insured(*listed)
    seal_period(on)
    assess(on, application)
    found = result(on, call(on, "insurer", application))
    assert {entry["product"]: (entry["verdict"], entry["unmet"]) for entry in found["entries"]} == {
        "a": ("IN_RUNNING", []),
        "b": ("EXCLUDED", ["industry 2059 is none of 45"]),
        "c": ("EXCLUDED", ["industry 2059 is excluded"]),
        "d": ("EXCLUDED", ["region GB is none of FR"]),
        "e": ("EXCLUDED", ["amount 10000000 is outside 0 to 100"]),
        "f": ("EXCLUDED", [f"composite {on_composite(on, application)} is outside 9900 to 10000"]),
        "g": ("DECLINES", []),
    }


def on_composite(on: Ledger, application: bytes) -> int:
    newest = on.read(CONSORTIUM, "credit", "application", application)["assessments"][-1]
    return int(on.read(CONSORTIUM, "credit", "assessment", newest)["composite"])


def test_what_a_product_asks_and_nobody_knows_excludes_it() -> None:
    on, application = insured(open_product("cover"))
    found = result(on, call(on, "insurer", application))
    assert found["entries"][0]["unmet"] == ["tenor is not known"]
    assert found["target"] == ""


# a second, dumb implementation -----------------------------------------------------------------------------------

ROW = st.fixed_dictionaries(
    {
        "lender": st.sampled_from(["A1", "B2", "C3"]),
        "limit": st.sampled_from([0, 100, 1_500, 20_000, 95_000]),
        "tenor_months": st.sampled_from([3, 12, 60, 240]),
        "industry": st.sampled_from(["10", "20", "30"]),
    }
)


@given(
    st.lists(ROW, min_size=21, max_size=90),
    st.integers(1, 300),
    st.sampled_from(["10", "205", "99"]),
    st.integers(1, 100_000),
    st.integers(1, 9),
    st.integers(0, B),
)
@settings(max_examples=60, deadline=None)
def test_the_choice_is_that_of_the_rules_written_out_plainly(
    rows: list[dict[str, Any]], tenor: int, industry: str, limit: int, k: int, shortlist: int
) -> None:
    said = [{**row, "approved": int(row["limit"] > 0)} for row in rows]
    settings_: dict[str, Any] = {
        "neighbours": k,
        "neighbourhood": 11,
        "shortlist_bp": shortlist,
        "weights": {"tenor_months": 3, "industry": 2},
    }
    data = market_document.dataset(market_data.document(said, **settings_))
    query: dict[str, Any] = {"tenor_months": tenor, "industry": industry}
    found = preferences.lenders(preferences.search(data, query), limit, {"A1", "B2", "C3"})
    predicted, target = _plainly(said, data, query, limit, k, shortlist)
    assert {e["lender"]: e["predicted"] for e in found.entries} == predicted
    assert found.target == target


def _plainly(
    rows: list[dict[str, Any]], data: market.Dataset, query: dict[str, Any], limit: int, k: int, shortlist: int
) -> tuple[dict[str, int | None], str]:
    scale = data.scales()["tenor_months"]
    names = sorted(rows[0])

    def far(row: dict[str, Any]) -> tuple[int, bytes]:
        apart = neighbours.position(row["tenor_months"], scale) - neighbours.position(query["tenor_months"], scale)
        other = not query["industry"].startswith(row["industry"])
        return 3 * apart**2 + 2 * B**2 * other, record_hash(
            hash_value, "lending", names, [row[name] for name in names]
        )

    ordered = sorted(rows, key=far)
    predicted: dict[str, int | None] = {}
    for lender in {row["lender"] for row in rows}:
        own = [row for row in ordered if row["lender"] == lender]
        granted = sorted(row["limit"] for row in own[:k] if row["limit"])
        fine = len(own) >= 20 and 2 * len(granted) >= len(own[:k]) and granted
        predicted[lender] = granted[(len(granted) - 1) // 2] if fine else None
    in_it = [row["lender"] for row in ordered if row["limit"] and predicted[row["lender"]] is not None][:11]
    best = max((in_it.count(lender) for lender in predicted), default=0)
    left = [
        (abs(amount - limit), lender)
        for lender, amount in predicted.items()
        if amount is not None and in_it.count(lender) * B >= best * shortlist
    ]
    return predicted, min(left)[1] if left else ""
