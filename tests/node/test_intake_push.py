"""The push endpoint in front of its spool: who gets in, how much, what a body may be; and who signs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import trio
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from chain.crypto import SigningKey
from node.api_errors import ApiError
from node.config_intake import Intake, Push
from node.intake.spool import Spool
from node.intake.supervisor import Supervisor, SupervisorError
from node.intake_api import add_intake
from node.peer import Peer

TOKENS = {"erp": "token-of-erp", "wms": "token-of-wms"}
ENCRYPTION = SigningKey.from_seed(bytes(32))
MULTIPART = "multipart/form-data; boundary=x"
Ask = Callable[..., httpx.Response]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, ENCRYPTION.public, [ENCRYPTION])


@pytest.fixture
def ask(spool: Spool) -> Ask:
    """Requests to the real endpoints, without a network; the peer has what they use of it."""
    feeds = [
        Push(
            name=name,
            tokens_sha256=["0" * 64, hashlib.sha256(token.encode()).hexdigest()],
            max_bytes=1_000,
            requests_per_minute=10 if name == "erp" else 2,
            max_waiting=3,
        )
        for name, token in TOKENS.items()
    ]
    peer = SimpleNamespace(
        config=SimpleNamespace(intake=Intake(pushes=feeds)),
        intake=SimpleNamespace(spool=spool, status=lambda: None),
        disk_is_low=lambda: False,
    )
    app = FastAPI()

    @app.exception_handler(ApiError)
    async def _error(_request: Any, error: ApiError) -> JSONResponse:
        return JSONResponse({"code": error.code}, status_code=error.status)

    add_intake(app, cast(Peer, peer))

    def asking(method: str, path: str, token: str = TOKENS["erp"], **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
                return await client.request(method, path, headers=headers, **options)

        return trio.run(once)

    return asking


def push(ask: Ask, key: str = "k", body: bytes = b"<a/>", source: str = "erp", **options: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key, **options.pop("headers", {})}
    return ask("POST", f"/v1/intake/{source}", content=body, headers=headers, **options)


def test_a_request_is_a_job_whose_outcome_its_source_may_ask_for(ask: Ask, spool: Spool) -> None:
    answer = push(ask)
    assert answer.status_code == 202
    job = answer.json()["job"]
    waiting = spool.waiting()[0].files[0][1]
    assert spool.read(waiting) == b"<a/>"
    assert b"<a/>" not in waiting.read_bytes()
    assert ask("GET", f"/v1/intake/jobs/{job}").json()["state"] == "waiting"
    assert ask("GET", f"/v1/intake/jobs/{job}", TOKENS["wms"]).status_code == 404
    assert ask("GET", f"/v1/intake/jobs/{job}", "none").status_code == 401
    assert ask("GET", "/v1/intake/jobs/../../etc").status_code == 404
    spool.finish(spool.waiting()[0], {"outcome": "taken"})
    assert ask("GET", f"/v1/intake/jobs/{job}").json()["outcome"] == "taken"
    assert push(ask).json() == {"job": job, "state": "done"}


@pytest.mark.parametrize("token", ["", "token-of-er", "token-of-erp2", "TOKEN-OF-ERP"])
def test_no_other_token_opens_it(ask: Ask, spool: Spool, token: str) -> None:
    assert push(ask, token=token).status_code == 401
    assert push(ask, headers={"Authorization": f"Basic {TOKENS['erp']}"}).status_code == 401
    assert spool.backlog() == 0


def test_a_token_opens_its_own_source_only(ask: Ask, spool: Spool) -> None:
    assert push(ask, source="wms").status_code == 404
    assert push(ask, source="nobody").status_code == 404
    assert spool.backlog() == 0


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"key": ""}, 400, "NO_KEY"),
        ({"key": "a" * 256}, 400, "NO_KEY"),
        ({"key": "white space"}, 400, "NO_KEY"),
        ({"body": b""}, 400, "EMPTY"),
        ({"headers": {"Content-Type": "multipart/form-data"}}, 400, "MULTIPART"),
        ({"headers": {"Content-Type": MULTIPART}}, 400, "MULTIPART"),
        ({"headers": {"Content-Type": MULTIPART}, "body": b"--x\r\nno end"}, 400, "MULTIPART"),
        ({"headers": {"Content-Type": MULTIPART}, "body": b"--x\r\nX: y\r\n\r\n\r\n--x--"},
         400, "EMPTY"),
    ],
)  # fmt: skip
def test_what_is_refused_at_the_door(ask: Ask, spool: Spool, options: Any, status: int, code: str) -> None:
    answer = push(ask, **options)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert spool.backlog() == 0


def test_the_parts_of_a_body_are_its_files_byte_for_byte(ask: Ask, spool: Spool) -> None:
    binary = bytes(range(256)) + b"\r\n--not the boundary\r\n\n\r"
    files = [("files", ("ä.bin", binary)), ("files", ("b.xml", b"<b/>")), ("note", (None, b"a field"))]
    answer = ask("POST", "/v1/intake/erp", files=files, headers={"Idempotency-Key": "parts"})
    assert answer.status_code == 202
    kept = [(name, spool.read(path)) for name, path in spool.waiting()[0].files]
    assert kept == [("ä.bin", binary), ("b.xml", b"<b/>"), ("note", b"a field")]


def test_more_than_a_source_may_send_or_have_waiting(ask: Ask, spool: Spool) -> None:
    assert [push(ask, f"k{number}", token=TOKENS["wms"], source="wms").status_code for number in range(3)] == [
        202, 202, 429,
    ]  # fmt: skip
    assert push(ask, "first").status_code == 202
    full = push(ask, "second")
    assert (full.status_code, full.headers["retry-after"]) == (503, "5")
    assert push(ask, "first").status_code == 202  # what is kept already is no new job
    assert spool.backlog() == 3


def test_a_way_in_needs_a_key_that_signs(tmp_path: Path) -> None:
    feed = Push(name="erp", tokens_sha256=["0" * 64])
    own = SimpleNamespace(signer=None, encryption=[])
    config: Any = SimpleNamespace(data=tmp_path, intake=Intake(pushes=[feed]), keys=own)
    with pytest.raises(SupervisorError, match=r"no key to sign with: set intake\.signer, or keys\.signer"):
        Supervisor(config, "", cast(Any, None))
    own.signer = tmp_path / "signer.json"
    with pytest.raises(SupervisorError, match=r"no key to keep documents under: set keys\.encryption"):
        Supervisor(config, "", cast(Any, None))
    config.intake = Intake()
    assert Supervisor(config, "", cast(Any, None)).status() is None
