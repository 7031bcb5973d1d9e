"""The trust file: every part read as it is meant, anything else refused with a line that says what is wrong."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from chain.anchor import Trusted
from tallystick.evidence.trust import TrustError, load

HASH = "0x" + "ab" * 32
DER = b"\x30\x03\x02\x01\x05"


def pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def written(folder: Path, value: Any) -> Path:
    path = folder / "trust.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_every_part(tmp_path: Path) -> None:
    (tmp_path / "two.pem").write_bytes(pem(DER) + pem(DER + b"\0"))
    (tmp_path / "one.der").write_bytes(DER)
    value = {
        "block_hashes": {"1": {"21000000": HASH}},
        "senders": ["0x" + "cd" * 20],
        "bitcoin_blocks": {"840000": "00" * 8 + "11" * 24},
        "tsa_roots": ["two.pem", "one.der"],
        "witnesses": {"witness.org/w1": "ef" * 32},
        "ca_roots": ["one.der"],
    }
    found = load(written(tmp_path, value), development=True)
    assert found == Trusted(
        evm_blocks={1: {21_000_000: bytes.fromhex("ab" * 32)}},
        evm_senders=frozenset({bytes.fromhex("cd" * 20)}),
        bitcoin_blocks={840_000: bytes.fromhex("11" * 24 + "00" * 8)},
        tsa_roots=(DER, DER + b"\0", DER),
        witnesses={"witness.org/w1": bytes.fromhex("ef" * 32)},
        ca_roots=(DER,),
        development=True,
    )


def test_without_a_file_nothing_is_trusted() -> None:
    assert load(None) == Trusted()


@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[]",
        {"others": 1},
        {"block_hashes": 5},
        {"block_hashes": {"1": {"x": HASH}}},
        {"block_hashes": {"1": {"1": HASH[:-1]}}},
        {"block_hashes": {"1": {"1": 5}}},
        {"senders": ["0x00"]},
        {"senders": [None]},
        {"bitcoin_blocks": {"1": "00"}},
        {"tsa_roots": "one.der"},
        {"tsa_roots": ["missing.pem"]},
        {"tsa_roots": ["empty.pem"]},
        {"witnesses": {"w": "00"}},
        {"witnesses": ["w"]},
        {"ca_roots": [5]},
        '{"senders": [], "senders": []}',
    ],
)
def test_what_is_no_trust_file(tmp_path: Path, value: Any) -> None:
    (tmp_path / "empty.pem").write_bytes(b"nothing")
    with pytest.raises(TrustError) as refused:
        load(written(tmp_path, value))
    assert refused.value.code == "BAD_TRUST_FILE"
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="cannot be read") as refused:
        load(tmp_path / "none.json")
    assert refused.value.code == "NO_TRUST_FILE"
