"""Webhooks: signed as standardwebhooks.com says, in order, again until taken, from a durable cursor."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from node.webhooks import WebhookError, read_secrets, signature_headers

SECRET = base64.b64encode(bytes(range(32))).decode()


def test_the_signature_is_the_specifications_own_example() -> None:
    """The vector in the specification's reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature_headers((secret,), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_each_secret_signs_so_that_one_can_be_replaced() -> None:
    first, second = bytes(32), bytes(range(32))
    headers = signature_headers((first, second), "id", 7, b"body")
    expected = [
        "v1," + base64.b64encode(hmac.new(secret, b"id.7.body", hashlib.sha256).digest()).decode()
        for secret in (first, second)
    ]
    assert headers["webhook-signature"].split(" ") == expected


def test_a_secret_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"whsec_{SECRET}\nwhsec_{SECRET}\n")
    assert read_secrets(path) == (bytes(range(32)),) * 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds 0 secrets"),
        (f"whsec_{SECRET}\n" * 5, "holds 5 secrets"),
        (SECRET, "a secret is whsec_ and base64"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "24 bytes or more"),
        ("whsec_!!!", "a secret is whsec_"),
        ("whsec_é", "cannot read the webhook secret"),
    ],
)
def test_a_bad_secret_file_says_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(WebhookError, match=said):
        read_secrets(path)
