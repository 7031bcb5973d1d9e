"""The raw-document store: on a real folder, on another fsspec file system, and when things go wrong."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import documents
from node.documents import DocumentError, DocumentStore


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_put_get_has(tmp_path: Path) -> None:
    store = DocumentStore(str(tmp_path / "new" / "store"))
    digest = store.put(b"a document")
    assert digest == sha256(b"a document").digest()
    assert store.get(digest) == b"a document"
    assert store.has(digest)
    assert not store.has(bytes(32))
    assert [path.name for path in files(tmp_path)] == [digest.hex()]


def test_another_store_on_the_same_folder_finds_it(tmp_path: Path) -> None:
    digest = DocumentStore(str(tmp_path)).put(b"x")
    assert DocumentStore(f"file://{tmp_path}").get(digest) == b"x"


def test_putting_again_writes_nothing(tmp_path: Path) -> None:
    store = DocumentStore(str(tmp_path))
    store.put(b"x")
    (path,) = files(tmp_path)
    before = path.stat()
    store.put(b"x")
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("damage", [b"", b"y", b"xx"])
def test_damage_is_noticed_on_reading_and_repaired_by_putting(tmp_path: Path, damage: bytes) -> None:
    store = DocumentStore(str(tmp_path))
    digest = store.put(b"x")
    other = store.put(b"other")
    (path,) = [path for path in files(tmp_path) if path.name == digest.hex()]
    path.write_bytes(damage)
    with pytest.raises(DocumentError, match=f"document {digest.hex()} in .* is damaged: restore a backup"):
        store.get(digest)
    assert store.get(other) == b"other"
    assert store.put(b"x") == digest
    assert store.get(digest) == b"x"


def test_a_missing_document_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"is not in .*: take the file in again") as raised:
        DocumentStore(str(tmp_path)).get(bytes(32))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_or_failing_disk_loses_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    store = DocumentStore(str(tmp_path))
    kept = store.put(b"kept")

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(DocumentError) as raised:
            store.put(b"new")
    expected = "no space left: free some" if code != errno.EIO else "cannot be written"
    assert expected in str(raised.value)
    assert files(tmp_path) == [tmp_path / kept.hex()[:2] / kept.hex()]
    assert store.get(store.put(b"new")) == b"new"


def test_a_crash_between_writing_and_renaming_leaves_no_half_document(tmp_path: Path) -> None:
    store = DocumentStore(str(tmp_path))
    digest = sha256(b"whole").digest()
    folder = tmp_path / digest.hex()[:2]
    folder.mkdir()
    (folder / f".{digest.hex()}.0123456789abcdef").write_bytes(b"who")
    assert not store.has(digest)
    assert store.get(store.put(b"whole")) == b"whole"


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DocumentError, match="check the path and its permissions"):
        DocumentStore(str(tmp_path / "file" / "store"))
    with pytest.raises(DocumentError, match="cannot be opened"):
        DocumentStore("nosuchprotocol://x")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DocumentStore(str(tmp_path))
    monkeypatch.setattr(documents, "MAX_DOCUMENT", 3)
    with pytest.raises(DocumentError, match="split it, at most 3"):
        store.put(b"four")
    with pytest.raises(DocumentError, match="32 bytes of SHA-256"):
        store.get(b"short")


@given(st.binary(max_size=200))
def test_any_bytes_come_back_from_any_fsspec_file_system(data: bytes) -> None:
    store = DocumentStore(f"memory://{uuid4()}")
    digest = store.put(data)
    assert store.put(data) == digest
    assert store.get(digest) == data
    assert not store.has(sha256(data + b"!").digest())
