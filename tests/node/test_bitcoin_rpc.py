"""Bitcoin's chain over JSON-RPC and from an Esplora server: what is believed, what is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from node.anchor_backend import BackendError
from node.bitcoin_rpc import BitcoinRpc, BitcoinSource, Esplora, source
from tests.bitcoin_chain import BitcoinChain, BitcoinServer

T = TypeVar("T")


@pytest.fixture(scope="module")
def served() -> Iterator[BitcoinServer]:
    chain = BitcoinChain()
    chain.mine(count=4)
    server = BitcoinServer(chain)
    yield server
    server.close()


@pytest.fixture
def server(served: BitcoinServer) -> Iterator[BitcoinServer]:
    yield served
    served.broken = None


def ask(url: str, use: Callable[[BitcoinSource], Awaitable[T]], auth: Path | None = None) -> T:
    async def main() -> T:
        asked = source(url, auth)
        try:
            return await use(asked)
        finally:
            await asked.close()

    return trio.run(main)


@pytest.mark.parametrize("kind", ["url", "esplora"])
def test_both_kinds_of_source_answer_the_three_questions(server: BitcoinServer, kind: str) -> None:
    chain, url = server.chain, getattr(server, kind)
    assert ask(url, lambda asked: asked.tip()) == 4
    assert ask(url, lambda asked: asked.block_hash(3)) == chain.hash(3)
    assert ask(url, lambda asked: asked.block_hash(5)) is None
    assert ask(url, lambda asked: asked.header(chain.hash(3))).raw == chain.headers[3]
    with pytest.raises(BackendError, match=r"127[.]0[.]0[.]1"):
        ask(url, lambda asked: asked.header(bytes(32)))


BROKEN = {
    "a status": (503, b"down"),
    "no JSON": (200, b"<html>"),
    "not JSON-RPC": (200, b"[]"),
    "another's answer": (200, b'{"id": 77, "result": 4, "error": null}'),
    "a float": (200, b'{"id": 1, "result": 4.0, "error": null}'),
    "a negative height": (200, b"-1"),
    "too much": (200, b"9" * 100_000),
    "a deep answer": (200, b"[" * 50_000),
    "not text": (200, b"\xff\xfe"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("kind", ["url", "esplora"])
def test_whatever_else_comes_is_one_line(server: BitcoinServer, kind: str, name: str) -> None:
    server.broken = BROKEN[name]
    for use in (lambda asked: asked.tip(), lambda asked: asked.block_hash(1), lambda asked: asked.header(bytes(32))):
        with pytest.raises(BackendError) as refusal:
            ask(getattr(server, kind), use)
        assert "password" not in str(refusal.value)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("change", [slice(36, 37), slice(68, 69), slice(72, 76)], ids=["root", "time", "target"])
def test_a_header_that_is_not_of_the_hash_is_refused(server: BitcoinServer, change: slice) -> None:
    raw = bytearray(server.chain.headers[2])
    raw[change] = bytes(len(raw[change]))
    server.broken = (200, raw.hex().encode())
    with pytest.raises(BackendError, match="header"):
        ask(server.esplora, lambda asked: asked.header(server.chain.hash(2)))


def test_the_password_is_needed_and_may_be_in_a_file(server: BitcoinServer, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    bare = f"http://127.0.0.1:{server.port}"
    with pytest.raises(BackendError, match="HTTP status 401"):
        ask(bare, lambda asked: asked.tip())
    with pytest.raises(BackendError, match="cannot read"):
        ask(bare, lambda asked: asked.tip(), cookie)
    cookie.write_text(server.credentials + "\n")
    assert ask(bare, lambda asked: asked.tip(), cookie) == 4


def test_nobody_there_is_one_line() -> None:
    with pytest.raises(BackendError, match="does not answer"):
        ask("http://u:p@127.0.0.1:9", lambda asked: asked.tip())


@pytest.mark.parametrize(
    "url", ["", "bitcoin", "ftp://host", "http://", "esplora+", "http://host:port", "http://[::1"]
)
def test_what_names_no_source_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="BITCOIN_URL"):
        source(url)


def test_the_url_decides_the_kind() -> None:
    assert isinstance(source("http://127.0.0.1:8332"), BitcoinRpc)
    assert isinstance(source("esplora+https://127.0.0.1/api/"), Esplora)
