"""The sealed form of a disclosure: for its recipients alone, and whatever is wrong with it is one typed line."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from chain.codec import decode, encode
from chain.crypto import SigningKey
from chain.disclosure import Disclosure
from chain.sealed import SealingError, seal
from chain.sealed_box import SealedBoxError, seal_to, unseal
from tallystick.client import Client
from tallystick.disclosure import DisclosureError, Recipient, body_of, seal_disclosure, unseal_disclosure

LENDER, OFFLINE, AUDITOR, STRANGER = (SigningKey.from_seed(bytes([number]) * 32) for number in range(1, 5))
NO_POINT = b"\xff" * 32
BODY = seal({"account": "GB29 NWBK"}, ("invoice", "GB-COH:2", "I1"), bytes(32))
MADE = Disclosure(b"proof", BODY.names(), (BODY.open("account"),), None)
RECIPIENTS = [
    Recipient("member", "lender", (LENDER.public, NO_POINT, OFFLINE.public)),
    Recipient("party", "auditor", (AUDITOR.public,)),
]


def test_every_key_of_every_recipient_opens_it_and_no_other() -> None:
    data = seal_disclosure(MADE, RECIPIENTS)
    assert b"GB29" not in data
    for key in (LENDER, OFFLINE, AUDITOR):
        assert Disclosure.decode(unseal_disclosure(data, [STRANGER, key])) == MADE
    with pytest.raises(DisclosureError, match=r"sealed to other keys \(of auditor, lender\)") as caught:
        unseal_disclosure(data, [STRANGER])
    assert caught.value.code == "NOT_FOR_YOU"
    assert seal_disclosure(MADE, RECIPIENTS) != data, "a fresh content key each time"


def test_a_recipient_whose_only_key_is_none() -> None:
    with pytest.raises(DisclosureError, match="office has no encryption key that can be sealed to") as caught:
        seal_disclosure(MADE, [Recipient("member", "office", (NO_POINT,))])
    assert caught.value.code == "NO_ENCRYPTION_KEY"


def test_what_is_damaged_or_something_else() -> None:
    data = seal_disclosure(MADE, RECIPIENTS)
    whole: dict[str, Any] = decode(data)
    first = whole["to"][0]
    text: bytes = whole["text"]
    for changed, code in (
        (b"", "NOT_SEALED"),
        (MADE.encode(), "NOT_SEALED"),
        (encode([]), "NOT_SEALED"),
        (encode({**whole, "format": ["tally/sealed_disclosure", 2]}), "NOT_SEALED"),
        (encode({**whole, "more": 1}), "NOT_SEALED"),
        (encode({**whole, "to": [first[:3]]}), "NOT_SEALED"),
        (encode({**whole, "to": 5}), "NOT_SEALED"),
        (encode({**whole, "to": []}), "NOT_FOR_YOU"),
        (encode({**whole, "to": [[*first[:2], None, first[3]]]}), "NOT_FOR_YOU"),
        (encode({**whole, "text": text[:-1]}), "DAMAGED"),
        (encode({**whole, "text": b""}), "DAMAGED"),
        (encode({**whole, "text": None}), "DAMAGED"),
        (encode({**whole, "to": [[*first[:3], first[3][:-1]]]}), "DAMAGED"),
        (encode({**whole, "to": [[*first[:3], None]]}), "DAMAGED"),
    ):
        with pytest.raises(DisclosureError) as caught:
            unseal_disclosure(changed, [LENDER])
        assert caught.value.code == code
        assert "\n" not in str(caught.value)


def test_a_sealed_box_opens_with_its_key_alone() -> None:
    box = seal_to(LENDER.public, b"secret")
    assert unseal(LENDER, box) == b"secret"
    for key, data in ((STRANGER, box), (LENDER, box[:-1]), (LENDER, b"")):
        with pytest.raises(SealedBoxError) as caught:
            unseal(key, data)
        assert caught.value.code == "DAMAGED_BOX"
    for public in (NO_POINT, b"", bytes(32), b"\x01" + bytes(31)):
        with pytest.raises(SealedBoxError) as caught:
            seal_to(public, b"secret")
        assert caught.value.code == "NO_ENCRYPTION_KEY"


def test_the_light_install_makes_opens_and_verifies_them() -> None:
    """Nothing of it needs the store, the node or the network."""
    code = (
        "import sys, chain.disclosure, tallystick.disclosure, cli.record, cli.verify\n"
        "heavy = {'libp2p', 'plyvel', 'trio', 'fastapi', 'lxml', 'chain.store', 'node', 'consensus'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_record_that_carries_anothers_sealed_root_shows_none_of_its_values() -> None:
    def record(number: str) -> list[Any]:
        return ["tally/record", 1, "invoice", "GB-COH:2", number, *[None] * 8, BODY.root, None]

    with Client("http://127.0.0.1:9") as client:
        assert body_of(client, "erp", record("I1"), lambda _chain, _name: BODY.encode()) == BODY
        with pytest.raises(SealingError, match="made for another record") as caught:
            body_of(client, "erp", record("I2"), lambda _chain, _name: BODY.encode())
    assert caught.value.code == "WRONG_BODY"
