"""Sealed bodies over HTTP, out of a real vault; what custody refuses has a status and keeps its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import trio
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from chain.crypto import SigningKey
from chain.sealed import seal, seal_file
from node.api_errors import ApiError
from node.bodies_api import add_bodies
from node.custody.errors import CustodyError
from node.peer import Peer
from node.vault import Item, Vault

BODY = seal({"account": "GB29 NWBK"}, ("invoice", "GB-COH:2", "I1"), bytes(32))
RAW = seal_file(b"<Invoice/>", bytes(32))
Ask = Callable[..., httpx.Response]


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    vault = Vault.open(
        str(tmp_path / "documents"), tmp_path / "vault", [SigningKey.from_seed(bytes(32))], member="erp"
    )
    vault.put_many([Item(BODY.encode(), ("invoice",), BODY.root), Item(RAW.encode(), ("invoice",))])
    yield vault
    vault.close()


@pytest.fixture
def ask(vault: Vault) -> Ask:
    """Requests to the real route; custody is asked for what is not in the vault."""

    async def fetch(chain: str, name: bytes) -> bytes:
        if chain in ("NOT_A_READER", "READER_REVOKED", "UNKNOWN_CHAIN", "NOT_FOUND", "NO_KEY", "BUSY"):
            raise CustodyError(chain, "said so")
        return {OTHER.root: OTHER.encode()}.get(name, RAW.encode())

    async def in_loop(function: Any, *args: Any) -> Any:
        return await function(*args)

    peer = SimpleNamespace(member="erp", documents=vault, custody=SimpleNamespace(fetch=fetch), in_loop=in_loop)
    app = FastAPI()

    @app.exception_handler(ApiError)
    async def _error(_request: Any, error: ApiError) -> JSONResponse:
        return JSONResponse({"code": error.code}, status_code=error.status)

    add_bodies(app, cast(Peer, peer))

    def asking(root: str, **query: str) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
                return await client.get(f"/v1/bodies/{root}", params=query)

        return trio.run(once)

    return asking


OTHER = seal({"account": "FR76"}, ("invoice", "GB-COH:3", "I2"), bytes(32))


def test_the_members_own_and_what_it_may_read(ask: Ask) -> None:
    assert ask(BODY.root.hex()).content == BODY.encode()
    assert ask(BODY.root.hex(), chain="erp").content == BODY.encode()
    assert ask(OTHER.root.hex(), chain="erp").content == OTHER.encode()


def test_what_is_refused(ask: Ask) -> None:
    for root, query, status, code in (
        ("zz", {}, 400, "NOT_A_HASH"),
        ("00", {}, 400, "NOT_A_HASH"),
        ("00" * 32, {}, 404, "NOT_FOUND"),
        (OTHER.root.hex(), {"chain": "NOT_A_READER"}, 403, "NOT_A_READER"),
        (OTHER.root.hex(), {"chain": "READER_REVOKED"}, 403, "READER_REVOKED"),
        (OTHER.root.hex(), {"chain": "UNKNOWN_CHAIN"}, 404, "UNKNOWN_CHAIN"),
        (OTHER.root.hex(), {"chain": "NOT_FOUND"}, 404, "NOT_FOUND"),
        (OTHER.root.hex(), {"chain": "NO_KEY"}, 409, "NO_KEY"),
        (OTHER.root.hex(), {"chain": "BUSY"}, 503, "BUSY"),
    ):
        answer = ask(root, **query)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_raw_document_is_no_body(ask: Ask) -> None:
    assert ask(RAW.hash.hex()).json()["code"] == "NO_SEALED_BODY"
    assert ask("11" * 32, chain="erp").json()["code"] == "NO_SEALED_BODY"
