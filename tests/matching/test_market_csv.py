"""A regulator's file: what is taken, what is refused with file, line, column and rule; and the command on it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from contracts import market_schema as schema
from node.connectors import market_csv, market_model
from node.connectors.errors import ConnectorError
from node.connectors.market_csv import Plan

MAPPING: dict[str, Any] = {
    "dataset": "loans",
    "kind": "lending",
    "currency": "EUR",
    "scale": 2,
    "columns": {
        "Bank": {"as": "lender", "values": {"Bank of X": "BX", "Bank of Y": "BY"}},
        "Nace": {"as": "industry", "prefix": 2},
        "Months": {"as": "tenor_months"},
        "Granted": {"as": "limit"},
        "Cur": {"as": "currency"},
    },
    "drop": ["Phone"],
    "institutions": ["BX", "BY"],
}
HEAD = "Bank,Nace,Months,Granted,Cur,Phone\n"
ROW = "Bank of X,2059,12,34300.50,EUR,1\n"


def plan(**changes: Any) -> Plan:
    return market_csv.plan({**MAPPING, **changes}, "loans.json")


def read(tmp_path: Path, data: str | bytes, *, exact: bool = True, **changes: Any) -> market_csv.Table:
    path = tmp_path / "loans.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return market_csv.read(path, plan(**changes), exact=exact)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_cells_are_translated_cut_and_counted_in_minor_units(tmp_path: Path, mark: bytes) -> None:
    found = read(tmp_path, mark + (HEAD + ROW).encode())
    assert found.names == ("industry", "lender", "limit", "tenor_months")
    assert found.rows == [("20", "BX", 3_430_050, 12)]
    assert found.lines == [2]


BAD: dict[str, tuple[str, str | bytes, str]] = {
    "negative": ("ABSURD_VALUE", HEAD + ROW + ROW.replace("34300.50", "-1"), "line 3, column 'Granted'"),
    "absurd": ("ABSURD_VALUE", HEAD + ROW.replace("34300.50", "9" * 20), "line 2, column 'Granted'"),
    "masked": ("NOT_A_NUMBER", HEAD + ROW.replace("34300.50", "***"), "line 2, column 'Granted'"),
    "finer than the currency": ("NOT_A_NUMBER", HEAD + ROW.replace("34300.50", "1.005"), "line 2, column 'Granted'"),
    "thousands": ("NOT_A_NUMBER", HEAD + ROW.replace("34300.50", '"34,300"'), "line 2, column 'Granted'"),
    "unknown lender": ("UNKNOWN_VALUE", HEAD + ROW.replace("of X", "of Z"), "line 2, column 'Bank'"),
    "free text": ("FREE_TEXT", HEAD + ROW.replace("2059", "Shoes"), "line 2, column 'Nace'"),
    "mixed currencies": ("WRONG_CURRENCY", HEAD + ROW + ROW.replace("EUR", "USD"), "line 3, column 'Cur'"),
    "empty cell": ("EMPTY_CELL", HEAD + ROW.replace(",12,", ",,"), "line 2, column 'Months'"),
    "empty row": ("EMPTY_ROW", HEAD + ROW + "\n" + ROW, "line 3"),
    "blank row": ("EMPTY_ROW", HEAD + " , ,,,,\n", "line 2"),
    "repeated row": ("DUPLICATE_ROW", HEAD + ROW + ROW, "line 3 repeats line 2"),
    "short row": ("BAD_CSV", HEAD + "Bank of X,2059\n", "line 2 has 2 cells"),
    "unclosed quote": ("BAD_CSV", HEAD + '"Bank of X,2059', "line 2"),
    "no rows": ("EMPTY_FILE", HEAD, "no record"),
    "nothing": ("EMPTY_FILE", "", "names no columns"),
    "latin": ("NOT_UTF8", (HEAD + ROW).encode() + "Bänk\n".encode("latin-1"), "line 3"),
    "utf-16": ("NOT_UTF8", (HEAD + ROW).encode("utf-16"), "line 1"),
    "column twice": ("DUPLICATE_COLUMN", HEAD.replace("Phone", "Bank") + ROW, "'Bank'"),
    "identifying column": (
        "IDENTIFYING_COLUMN",
        HEAD.replace("Phone", "Borrower Name") + ROW,
        "would publish a name",
    ),
    "unmapped column": ("UNKNOWN_COLUMN", HEAD.replace("Phone", "Colour") + ROW, "'Colour'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_line_that_says_where(tmp_path: Path, name: str) -> None:
    code, data, where = BAD[name]
    with pytest.raises(ConnectorError) as caught:
        read(tmp_path, data)
    message = str(caught.value)
    assert caught.value.code == code
    assert message.startswith("loans.csv: ")
    assert where in message
    assert "\n" not in message


def test_exact_values_pass_only_where_they_are_still_to_be_generalised(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"loans.csv: line 2, column 'Granted'.*exact value") as caught:
        read(tmp_path, HEAD + ROW, exact=False)
    assert caught.value.code == "NOT_GENERALISED"
    assert "34300" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("IDENTIFYING_COLUMN", {"columns": {**MAPPING["columns"], "Id": {"as": "row_id"}}}),
        ("UNKNOWN_COLUMN", {"columns": {**MAPPING["columns"], "Id": {"as": "colour"}}}),
        ("MISSING_COLUMN", {"columns": {"Nace": {"as": "industry"}}}),
        ("BAD_MAPPING", {"columns": {**MAPPING["columns"], "Also": {"as": "lender"}}}),
        ("BAD_MAPPING", {"columns": {"Bank": "lender"}}),
        ("BAD_MAPPING", {"scale": "2"}),
        ("BAD_MAPPING", {"more": 1}),
        ("WRONG_DATASET", {"kind": "gossip"}),
    ],
)
def test_a_bad_mapping_is_refused(code: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConnectorError) as caught:
        plan(**changes)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def many(count: int = 60) -> str:
    rows = (
        f"Bank of {'XY'[n % 2]},{2000 + n % 3},{6 + n % 40},{10_000 + 137 * n}.00,EUR,{n}\n" for n in range(count)
    )
    return HEAD + "".join(rows)


def test_groups_hold_five_or_more_and_everything_in_them_is_alike(tmp_path: Path) -> None:
    exact = read(tmp_path, many())
    grouped = market_model.generalise(exact, "lending", market_model.scales(exact, "lending"))
    place = grouped.names.index("lender")
    sizes = Counter(row[:place] + row[place + 1 :] for row in grouped.rows)
    assert min(sizes.values()) >= schema.K
    assert len(sizes) > 5
    few = read(tmp_path, many(4))
    with pytest.raises(ConnectorError, match="only 4 records"):
        market_model.generalise(few, "lending", market_model.scales(few, "lending"))


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_the_command_refuses_exact_records_prepares_them_and_would_publish_the_result(tmp_path: Path) -> None:
    source, mapping, made = tmp_path / "loans.csv", tmp_path / "loans.json", tmp_path / "made.csv"
    source.write_text(many())
    mapping.write_text(json.dumps(MAPPING))
    code, said = run("match", "publish", source, "--mapping", mapping, "--dry-run")
    assert (code, "exact value" in said) == (2, True)
    code, said = run("match", "prepare", source, "--mapping", mapping, "-o", made)
    assert code == 0, said
    own = market_csv.plan(json.loads(made.with_suffix(".json").read_text()), "made.json")
    rows = market_csv.read(made, own, exact=False).rows
    assert rows == sorted(rows), "the order of the exact file would say which record each one was"
    assert own.model["neighbours"] == 13
    code, said = run("match", "publish", made, "--mapping", made.with_suffix(".json"), "--dry-run")
    assert (code, "60 records" in said) == (0, True), said


def test_the_command_names_a_small_group_before_anything_is_sent(tmp_path: Path) -> None:
    path, mapping = tmp_path / "made.csv", tmp_path / "made.json"
    path.write_text(HEAD + "Bank of X,20,12,35000,EUR,\n" * 5 + "Bank of X,20,24,35000,EUR,\n" * 3)
    mapping.write_text(json.dumps(MAPPING))
    code, said = run("match", "publish", path, "--mapping", mapping, "--dry-run", "--json")
    assert code == 3
    assert "GROUP_TOO_SMALL" in said
    assert "made.csv: the smallest group has 3 records" in said


def test_help_says_that_insurer_matching_is_unproven() -> None:
    assert "unproven" in run("match", "insurer", "--help")[1]
