"""What is typed at a terminal, and what is shown on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import output, values
from cli.errors import CliError


@pytest.mark.parametrize(
    ("text", "scale", "minor"),
    [("0", 2, 0), ("12500", 2, 1_250_000), ("12500.5", 2, 1_250_050), ("0.01", 2, 1), ("7", 0, 7), ("1.500", 2, 150)],
)
def test_an_amount_becomes_minor_units(text: str, scale: int, minor: int) -> None:
    assert values.minor_units(text, scale, "--amount") == minor


@pytest.mark.parametrize("text", ["", "-1", "1,000", "1e3", "1.", ".5", "1.001", "٣", "1 000"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(CliError, match="--amount"):
        values.minor_units(text, 2, "--amount")


@given(st.integers(min_value=0, max_value=2**63), st.integers(min_value=0, max_value=4))
def test_decimal_text_and_minor_units_are_inverse(minor: int, scale: int) -> None:
    assert values.minor_units(values.decimal_text(minor, scale), scale, "x") == minor


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("party", "party"),
        ("GB-COH:1234", "GB-COH:1234"),
        ("n:5", 5),
        ("x:ab12", b"\xab\x12"),
        ("s:n:5", "n:5"),
        ("ab" * 32, b"\xab" * 32),
        ("s:" + "ab" * 32, "ab" * 32),
    ],
)
def test_parts_of_a_state_key(text: str, part: str | int | bytes) -> None:
    assert values.key_part(text) == part


@pytest.mark.parametrize("text", ["n:five", "x:abc", "x:zz"])
def test_wrong_parts_of_a_state_key_are_refused(text: str) -> None:
    with pytest.raises(CliError, match="key part"):
        values.key_part(text)


def test_arguments_hold_bytes_as_hex_objects(tmp_path: Path) -> None:
    text = '{"key": {"$hex": "00ff"}, "list": [{"$hex": ""}, 1, true, null], "name": "$hex"}'
    expected: dict[str, Any] = {"key": b"\x00\xff", "list": [b"", 1, True, None], "name": "$hex"}
    assert values.json_argument(text, "--args") == expected
    (tmp_path / "a.json").write_text(text)
    assert values.json_argument(f"@{tmp_path / 'a.json'}", "--args") == expected


@pytest.mark.parametrize("text", ["[]", "1", '"x"', '{"$hex": "00"}', '{"a": {"$hex": "0"}}', '{"a": {"$hex": 5}}'])
def test_arguments_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(CliError, match="--args"):
        values.json_argument(text, "--args")


def test_hashes_are_64_digits() -> None:
    assert values.digest("0x" + "AB" * 32, "id") == b"\xab" * 32
    for text in ("", "ab", "ab" * 31 + "zz", "ab" * 33):
        with pytest.raises(CliError, match="64 hexadecimal digits"):
            values.digest(text, "id")


def test_money_and_shares_for_people() -> None:
    assert output.money(123_456_789, 2, "GBP") == "1,234,567.89 GBP"
    assert output.money(5, 2, "EUR") == "0.05 EUR"
    assert output.money(-5, 0, "JPY") == "-5 JPY"
    assert output.percent(8_750) == "87.50 %"
    assert output.percent(None) == "no data"
    assert output.moment(0) == "1970-01-01 00:00:00 UTC"
    assert output.moment(10**18) == f"{10**18} ms"


def test_tables_keep_hashes_whole_and_cut_other_long_cells() -> None:
    lines = output.table(["id", "text"], [["ab" * 32, "x" * 100]])
    assert "ab" * 32 in lines[1]
    assert lines[1].endswith("x…")
    assert output.table(["a"], []) == ["(none)"]


def test_control_characters_never_reach_the_terminal() -> None:
    assert output.clean("a\x1b[31mb\nc") == "a?[31mb?c"
