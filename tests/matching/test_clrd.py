"""The CAS loss-reserve file, motor and liability insurers: exercises the underwriting code, proves no accuracy."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from chain.crypto import hash_value
from contracts import market, preferences, products
from contracts import market_schema as schema
from node.connectors import market_csv, market_document, market_model
from node.connectors.errors import ConnectorError
from node.connectors.market_csv import Plan
from tests.contracts.test_market import product
from tests.matching.sba import DATA

CLRD = DATA / "insurers-clrd/clrd_lag10.csv"
LINES = {"othliab": "OL", "comauto": "CA", "ppauto": "PA", "wkcomp": "WC", "prodliab": "PL", "medmal": "MM"}
pytestmark = pytest.mark.skipif(not CLRD.exists(), reason=f"the sample data is not at {CLRD}")


def rows() -> list[dict[str, str]]:
    with CLRD.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def plan() -> Plan:
    codes = {row["GRCODE"]: f"G{row['GRCODE']}" for row in rows()}
    columns = {
        "GRCODE": {"as": "insurer", "values": codes},
        "LOB": {"as": "line", "values": LINES},
        "EarnedPremDIR": {"as": "amount"},
        "Single": {"as": "accepted"},
    }
    kept = {"dataset": "clrd", "kind": "underwriting", "currency": "USD", "scale": 0, "columns": columns}
    drop = [name for name in rows()[0] if name not in columns]
    return market_csv.plan({**kept, "drop": drop, "institutions": sorted(set(codes.values()))}, "clrd.json")


def test_a_group_name_that_is_not_dropped_and_a_negative_premium_are_refused_by_line() -> None:
    with pytest.raises(ConnectorError, match="column 'GRNAME'"):
        market_csv.read(CLRD, plan()._replace(drop=plan().drop - {"GRNAME"}), exact=True)
    with pytest.raises(ConnectorError, match=r"line 7, column 'EarnedPremDIR'.*negative"):
        market_csv.read(CLRD, plan(), exact=True)


def test_the_rest_is_grouped_searched_and_ordered(tmp_path: Path) -> None:
    kept = [row for row in rows() if int(row["EarnedPremDIR"]) > 0]
    path = tmp_path / "clrd.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    exact = market_csv.read(path, plan(), exact=True)
    grouped = market_model.generalise(exact, "underwriting", market_model.scales(exact, "underwriting"))
    document = market_document.document(grouped, plan(), 1)
    assert market.check(document, lambda _: None, hash_value)[1] >= schema.K
    searched = preferences.search(market_document.dataset(document), {"line": "WC", "amount": 400_000})
    accepted = preferences.acceptance(searched)
    assert set(accepted.values()) == {None}, "no group of insurers has 20 records here: all are INSUFFICIENT"
    case = products.Case("20", None, 400_000, 12, None)
    listed = [product(insurer=insurer, amount_max=10**9) for insurer in sorted(accepted)[:3]]
    result = preferences.insurers(listed, case, accepted, set(accepted))
    assert result.target == ""
    assert {entry["verdict"] for entry in result.entries} == {preferences.INSUFFICIENT}
