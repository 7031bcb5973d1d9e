"""Documents over HTTP, by the client and by hand, into a real vault; and the files and URLs it stands on."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
import trio
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.codec import encode
from chain.crypto import SigningKey
from chain.sealed import seal
from node import documents_api
from node.api import add_errors
from node.documents import DocumentError, write_whole
from node.documents_api import add_documents
from node.peer import Peer
from node.vault import Vault
from node.vault.files import Files
from tallystick import Client, ClientError
from tallystick.client import Document

BODY = seal({"account": "GB29 NWBK"}, ("invoice", "GB-COH:2", "I1"), bytes(32))
LIMIT = 10_000


class Server:
    """The routes of one member's node; ``low``: its disk is nearly full."""

    def __init__(self, folder: Path, *keys: SigningKey) -> None:
        self.vault = Vault.open(str(folder / "store"), folder / "vault", keys, member="erp")
        self.low = False
        config = SimpleNamespace(
            limits=SimpleNamespace(document_bytes=LIMIT), api=SimpleNamespace(max_request_bytes=LIMIT)
        )
        self.paced: list[int] = []

        async def take_in(size: int) -> None:
            self.paced.append(size)

        async def in_loop(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
            return await function(*args)

        peer = SimpleNamespace(
            documents=self.vault,
            config=config,
            disk_is_low=lambda: self.low,
            custody=SimpleNamespace(pace=SimpleNamespace(take_in=take_in)),
            in_loop=in_loop,
        )
        self.app = FastAPI()
        add_errors(self.app)
        add_documents(self.app, cast(Peer, peer))

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
                return await client.request(method, path, **options)

        return trio.run(once)

    def client(self) -> Client:
        """A client whose requests come here."""
        client = Client("http://node")
        client._http = cast(httpx.Client, self)
        return client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, SigningKey(b"e" * 32))
    yield server
    server.vault.close()


def kinds_of(vault: Vault, name: bytes) -> tuple[str, ...]:
    place = vault._index.place(name)
    assert place is not None
    return vault._known(place.deposit).secret.kinds


def refused(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert "\n" not in error["message"]
    return answer.status_code, error["code"]


def test_the_client_puts_and_gets(server: Server) -> None:
    client = server.client()
    raw = client.put_document(b"raw", ["order", "invoice"])
    assert raw == sha256(b"raw").digest()
    assert client.document(raw) == b"raw"
    assert kinds_of(server.vault, raw) == ("invoice", "order")
    assert kinds_of(server.vault, client.put_document(b"of no kind")) == ("*",)
    assert client.put_document(BODY.encode(), ["invoice"], sealed_root=BODY.root) == BODY.root
    assert server.vault.get(BODY.root) == BODY.encode()
    other = seal({"x": "1"}, ("order", "a", "b"), bytes(32))
    names = client.put_documents([Document(b"1", ("order",)), Document(other.encode(), ("order",), other.root)])
    assert names == [sha256(b"1").digest(), other.root]
    assert [kinds_of(server.vault, name) for name in names] == [("order",), ("order",)]
    for root in (bytes(32), BODY.root):
        with pytest.raises(ClientError) as raised:
            client.put_document(b"not the body", sealed_root=root)
        assert raised.value.code == "WRONG_HASH"


def test_bare_bytes_are_taken_too(server: Server) -> None:
    assert server.request("PUT", "/v1/documents", content=b"a").json() == {"sha256": sha256(b"a").hexdigest()}
    rows = encode([b"b", [None, ["order"], b"c"]])
    answer = server.request("POST", "/v1/documents?kinds=invoice,loan", content=rows)
    assert answer.json() == [sha256(b"b").hexdigest(), sha256(b"c").hexdigest()]
    assert kinds_of(server.vault, sha256(b"b").digest()) == ("invoice", "loan")
    assert kinds_of(server.vault, sha256(b"c").digest()) == ("order",)
    assert server.paced == [1, len(rows)], "what agreement leaves decides how fast documents are taken in"


def test_bad_requests(server: Server) -> None:
    def put(query: str, content: bytes = b"x") -> tuple[int, str]:
        return refused(server.request("PUT", f"/v1/documents{query}", content=content))

    def post(value: Any, query: str = "") -> tuple[int, str]:
        return refused(server.request("POST", f"/v1/documents{query}", content=encode(value)))

    assert put(f"?sha256={'00' * 32}") == (400, "WRONG_HASH")
    assert put(f"?sealed_root={'00' * 32}") == (400, "WRONG_HASH")
    assert put("?sha256=zz") == (400, "NOT_HEX")
    assert put("?sha256=00") == (400, "NOT_A_HASH")
    for kinds in ("", ",", "a,,b", "x" * 33, "a%0Ab", ",".join(map(str, range(65))), "x," * 3_000):
        assert put(f"?kinds={kinds}") == (400, "PARAMETER")
    wrong: list[Any] = [b"x", {}, [1], ["x"], [[b"x"]], [[b"short", ["a"], b"x"]], [["x", ["a"], b"x"]]]
    for value in [*wrong, [[None, "a", b"x"]], [[None, ["a"], "x"]], [[None, ["a"], b"x", 1]], [None]]:
        assert post(value) == (400, "MALFORMED")
    for named in ([], [1], [""], ["a", "b,c"], ["x" * 33]):
        assert post([[None, named, b"x"]]) == (400, "PARAMETER")
    assert post([[bytes(32), ["a"], b"x"]]) == (400, "WRONG_HASH")
    assert refused(server.request("POST", "/v1/documents", content=b"\xc1")) == (400, "NOT_CANONICAL")
    assert post([b""] * (documents_api.MAX_ITEMS + 1)) == (400, "MALFORMED")
    assert refused(server.request("GET", "/v1/documents/zz")) == (400, "NOT_HEX")
    assert refused(server.request("GET", f"/v1/documents/{'00' * 32}")) == (404, "NOT_FOUND")
    assert not server.vault.has(sha256(b"x").digest())


# httpx leaves its generator of the body where it is when the answer comes before the end of it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_body_that_is_too_large_is_not_read_to_its_end(server: Server, method: str) -> None:
    assert refused(server.request(method, "/v1/documents", content=bytes(LIMIT + 1))) == (413, "TOO_LARGE")
    gc.collect()


def test_a_low_disk_takes_nothing_in(server: Server) -> None:
    server.low = True
    assert refused(server.request("PUT", "/v1/documents", content=b"x")) == (507, "DISK_LOW")
    assert refused(server.request("POST", "/v1/documents", content=encode([b"x"]))) == (507, "DISK_LOW")


def test_a_full_store_and_damage_have_their_codes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = server.client()
    name = client.put_document(b"kept")

    def full(*_: Any) -> None:
        raise DocumentError("STORE_FULL", "no space left: free some")

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", full)
        assert refused(server.request("PUT", "/v1/documents", content=b"new")) == (507, "STORE_FULL")
    (segment,) = Path(server.vault._files.url).glob("own/*/*")
    segment.write_bytes(segment.read_bytes()[:-1])
    assert refused(server.request("GET", f"/v1/documents/{name.hex()}")) == (500, "DOCUMENT_DAMAGED")
    client.put_document(b"kept")
    assert client.document(name) == b"kept"


def test_without_an_encryption_key_the_node_takes_no_documents(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with pytest.raises(ClientError, match=r"set keys\.encryption") as raised:
        server.client().put_document(b"x")
    assert raised.value.code == "NO_ENCRYPTION_KEY"
    assert refused(server.request("POST", "/v1/documents", content=encode([b"x"]))) == (409, "NO_ENCRYPTION_KEY")
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    server.vault.close()


# -- files and URLs -------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url in (str(tmp_path / "file" / "store"), "nosuchprotocol://x"):
        with pytest.raises(DocumentError, match="check the address, its permissions") as raised:
            Files(url)
        assert raised.value.code == "STORE_FAILED"
        assert "\n" not in str(raised.value)


def test_a_file_url_is_the_folder(tmp_path: Path) -> None:
    Files(str(tmp_path / "a")).write("x/y", b"1", b"2")
    assert Files(f"file://{tmp_path}/a").read("x/y", 0, 10) == b"12"


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    files.write("f/1", b"x")
    (tmp_path / "f/.2.0123456789abcdef").write_bytes(b"half")
    assert files.names("f") == ["1"]
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["1"]


@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(0, 50), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_any_fsspec_file_system_does_the_same(parts: list[bytes], offset: int, size: int) -> None:
    for files in (Files(f"memory://{uuid4()}"),):
        assert not files.exists("a/b")
        assert files.names("a") == []
        files.write("a/b", b"front", *parts)
        assert files.exists("a/b")
        assert files.names("a") == ["b"]
        assert files.read("a/b", offset, size) == b"".join([b"front", *parts])[offset : offset + size]
        files.delete("a/b")
        files.delete("a/b")
        with pytest.raises(DocumentError) as raised:
            files.read("a/b", 0, 1)
        assert raised.value.code == "DOCUMENT_MISSING"


def test_write_whole_replaces(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b", b"1")
    write_whole(tmp_path / "a" / "b", b"2", b"3")
    assert (tmp_path / "a" / "b").read_bytes() == b"23"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
