"""Documents in S3: the same vault over a real S3 server, which loses, damages and refuses as servers do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.documents import DocumentError
from node.vault import Vault
from tests.s3_server import BUCKET, S3Server, installed, s3_server
from tests.vault_tools import CUSTODIANS, KEY, Home, check_whole, documents, hold, items, name_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not installed(), reason="no S3 server here: apt-get install python3-swift (.ci/setup.sh does)"
    ),
    # botocore parses dates with a function that Python deprecates; s3fs leaves its session to the garbage collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:botocore", "ignore:.*[Uu]nclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture
def home(server: S3Server, tmp_path: Path) -> Home:
    return Home(tmp_path, f"s3://{BUCKET}/{tmp_path.name}", **server.options)


def deposited(home: Home, vault: Vault, datas: list[bytes]) -> None:
    vault.put_many(items(datas))
    home.now += 2
    (deposit,) = vault.ready()
    vault.roots(deposit.id, CUSTODIANS)
    vault.numbered(deposit.id, 0)


def objects(server: S3Server) -> list[Path]:
    """Files of the server that hold what was put, newest last."""
    return sorted((server.home / "devices/disk/objects").rglob("*.data"), key=lambda path: path.stat().st_mtime_ns)


def test_own_documents_and_copies_for_others_lie_in_the_bucket_only(home: Home, tmp_path: Path) -> None:
    vault = home.open()
    datas = [*documents(30, 5_000), b""]
    deposited(home, vault, datas)
    hold(vault.copies, vault, 0, "lender")
    for _ in range(2):
        assert [vault.get(name_of(data)) for data in datas] == datas
        assert list(vault.copies.list()) == [("erp", 0, "lender")]
        assert vault.copies.read("erp", 0, "lender", 3, 4_096, 100) == vault.copy(0, 3, "lender")[4_096:4_196]
        assert not any(bad for _, bad in vault.copies.damaged("erp", 0, "lender"))
        assert vault.copies.prove("erp", 0, "lender", 1, 1).chunk == vault.copy(0, 1, "lender")[4_096:]
        vault.close()
        vault = home.open()
    vault.copies.delete("erp", 0, "lender")
    assert not any(bad for bad in vault.copies.list())
    vault.close()
    local = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"document 1 " in path.read_bytes() for path in local)
    assert {path.relative_to(tmp_path).parts[0] for path in local} == {"local"}


def test_a_machine_that_burned_down_finds_its_documents_by_its_key(home: Home) -> None:
    vault = home.open()
    deposited(home, vault, documents(20))
    known = vault.deposit(0)
    assert known is not None
    assert known.roots is not None
    hold(vault.copies, vault, 0, "lender")
    vault.close()
    shutil.rmtree(home.folder / "local")
    vault = home.open(KEY)
    assert [vault.get(name_of(data)) for data in documents(20)] == documents(20)
    assert vault.recognise(0, known.objects, known.size, known.roots) is not None
    assert list(vault.copies.list()) == [("erp", 0, "lender")]
    check_whole(vault)
    vault.close()


def test_what_the_server_lost_or_damaged_is_noticed_and_repaired(home: Home, server: S3Server) -> None:
    vault = home.open()
    deposited(home, vault, documents(3))
    data = objects(server)[-1]
    whole = data.read_bytes()
    assert b"document 0 " not in whole
    data.write_bytes(whole[:-20] + bytes(20))
    with pytest.raises(DocumentError) as raised:
        vault.get(name_of(documents(3)[2]))
    assert raised.value.code in ("DOCUMENT_DAMAGED", "STORE_FAILED", "DOCUMENT_MISSING")  # Swift may notice first
    data.unlink()
    with pytest.raises(DocumentError) as raised:
        vault.get(name_of(documents(3)[0]))
    assert raised.value.code == "DOCUMENT_MISSING"
    vault.put_many(items(documents(3)))
    assert [vault.get(name_of(data)) for data in documents(3)] == documents(3)
    assert vault.ready() == []
    vault.close()


def test_wrong_credentials_and_an_absent_bucket_are_one_line(server: S3Server, tmp_path: Path) -> None:
    wrong = {**server.options, "secret": "guessed"}
    for url, options in ((f"s3://{BUCKET}/x", wrong), ("s3://nosuchbucket/x", server.options)):
        with pytest.raises(DocumentError, match=f"documents at {url} cannot be") as raised:
            Home(tmp_path, url, **options).open().put(b"x")
        assert raised.value.code == "STORE_FAILED"
        assert "\n" not in str(raised.value)
        shutil.rmtree(tmp_path / "local")


def test_a_node_finds_address_and_credentials_where_botocore_does(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    vault = Home(tmp_path, f"s3://{BUCKET}/environment").open()
    assert vault.get(vault.put(b"x")) == b"x"
    vault.close()


def test_a_server_that_is_away_is_one_line(server: S3Server, tmp_path: Path) -> None:
    away = {**server.options, "endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 0}}}
    with pytest.raises(DocumentError, match="check the address") as raised:
        Home(tmp_path / "first", f"s3://{BUCKET}/away", **away).open()
    assert raised.value.code == "STORE_FAILED"
    assert "\n" not in str(raised.value)


def test_a_node_starts_while_its_store_is_away(server: S3Server, tmp_path: Path) -> None:
    """It must be able to vote; documents are back when the store is."""
    home = Home(tmp_path, f"s3://{BUCKET}/outage", **server.options)
    vault = home.open()
    name = vault.put(b"kept")
    vault.close()
    home.options = {**home.options, "endpoint_url": "http://127.0.0.1:9"}
    home.options["config_kwargs"] = {"retries": {"max_attempts": 0}}
    vault = home.open()
    assert vault.has(name)
    with pytest.raises(DocumentError) as raised:
        vault.get(name)
    assert raised.value.code == "STORE_FAILED"
    with pytest.raises(DocumentError) as raised:
        vault.put(b"new")
    assert raised.value.code == "STORE_FAILED"
    home.now += 2
    assert [deposit.objects for deposit in vault.ready()] == [1]
    vault.close()
    home.options = server.options
    vault = home.open()
    assert vault.get(name) == b"kept"
    assert vault.get(vault.put(b"new")) == b"new"
    vault.close()
