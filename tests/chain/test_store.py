"""The store's promises on a real disk: whole batches after kill -9, damage noticed and named, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.store import LevelStore, MemoryStore, StoreError, by_height, height_of_inverse, inverse, successor

ROOT = Path(__file__).resolve().parents[2]
BATCH = 40
"""Rows of a batch; each holds the batch's number and 500 bytes that follow from it."""

WRITER = """
import sys
from pathlib import Path
from chain.store import LevelStore
from tests.chain.test_store import batch_of
folder, first = Path(sys.argv[1]), int(sys.argv[2])
store = LevelStore(folder, create=True)
number = first
while True:
    store.write(batch_of(number))
    print(number, flush=True)
    number += 1
"""


def value_of(number: int, row: int) -> bytes:
    return b"".join(sha256(b"%d/%d/%d" % (number, row, piece)).digest() for piece in range(16))[:500]


def batch_of(number: int) -> list[tuple[bytes, bytes | None]]:
    rows: list[tuple[bytes, bytes | None]] = [
        (b"row %05d %03d" % (number, row), value_of(number, row)) for row in range(BATCH)
    ]
    return [*rows, (b"head", b"%d" % number)]


def filled(folder: Path, batches: int) -> None:
    store = LevelStore(folder, create=True)
    for number in range(batches):
        store.write(batch_of(number))
    store.close()


def whole_batches(store: LevelStore) -> int:
    """How many batches the store holds, after a check that each is there in full and nothing else is."""
    head = store.get(b"head")
    batches = 0 if head is None else int(head) + 1
    found = dict(store.scan(b"row ", successor(b"row ")))
    wanted = {key: value for number in range(batches) for key, value in batch_of(number) if key != b"head"}
    assert found == wanted
    for key, value in wanted.items():
        assert store.get(key) == value
    return batches


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


# -- kill -9 ----------------------------------------------------------------------------------------------


def test_kill_9_in_the_middle_of_writing_leaves_whole_batches(folder: Path) -> None:
    """Three times over on the same folder: what was acknowledged is there, and nothing is there in part."""
    batches = 0
    for round_number in range(3):
        command = [sys.executable, "-c", WRITER, str(folder), str(batches)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged = batches - 1
            for line in writer.stdout:
                acknowledged = int(line)
                if acknowledged >= batches + 20 + round_number:
                    break
            time.sleep(0.003 * round_number)
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        store = LevelStore(folder)
        batches = whole_batches(store)
        store.close()
        assert batches in (acknowledged + 1, acknowledged + 2), "one batch may be durable and not yet acknowledged"


# -- damage -----------------------------------------------------------------------------------------------


def damaged_or_right(folder: Path, batches: int) -> bool:
    """Whether damage was reported (in one line that says what to do); if not, every row must be right."""
    try:
        store = LevelStore(folder)
    except StoreError as error:
        check_message(str(error))
        return True
    try:
        assert whole_batches(store) == batches
    except StoreError as error:
        check_message(str(error))
        return True
    finally:
        store.close()
    return False


def check_message(text: str) -> None:
    assert "\n" not in text
    assert "damaged" in text
    assert "restore a backup" in text
    assert "another process" not in text
    assert "b'" not in text


def flipped(folder: Path, pattern: str, batches: int, step: int) -> tuple[int, int]:
    """Flip one bit at places all over the files of a pattern, each on a fresh copy: (reported, tried)."""
    reported = tried = 0
    for path in sorted(folder.glob(pattern)):
        data = path.read_bytes()
        for place in range(0, len(data), step):
            copy = folder.with_name("copy")
            shutil.copytree(folder, copy)
            (copy / path.name).write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
            reported += damaged_or_right(copy, batches)
            tried += 1
            shutil.rmtree(copy)
    return reported, tried


def test_a_flipped_bit_in_the_log_is_noticed_at_the_start(folder: Path) -> None:
    """LevelDB alone drops the record and goes on: 60 of 60 in our trial (PROTOCOL.md, Storage)."""
    filled(folder, 8)
    assert sum(path.stat().st_size for path in folder.glob("*.log")) > 100_000
    reported, tried = flipped(folder, "*.log", 8, step=4_001)
    assert tried > 30
    assert reported == tried


def test_a_flipped_bit_in_a_table_is_noticed_or_harmless(folder: Path) -> None:
    """LevelDB alone returns wrong values: 58 of 60 in our trial. Here a row is right or the store says why not."""
    filled(folder, 8)
    LevelStore(folder).close()  # opening writes the log's rows into a table
    tables = list(folder.glob("*.ldb"))
    assert tables
    size = sum(path.stat().st_size for path in tables)
    reported, tried = flipped(folder, "*.ldb", 8, step=max(1, size // 32))
    assert tried >= 30
    assert reported > tried * 8 // 10, "the rest is filters and padding, which the rows do not depend on"


@pytest.mark.parametrize("pattern", ["MANIFEST-*", "CURRENT"])
def test_a_flipped_bit_in_the_books_is_noticed(folder: Path, pattern: str) -> None:
    filled(folder, 8)
    LevelStore(folder).close()
    reported, tried = flipped(folder, pattern, 8, step=5)
    assert reported == tried > 2


def test_a_missing_file_is_noticed(folder: Path) -> None:
    filled(folder, 4)
    LevelStore(folder).close()
    next(folder.glob("*.ldb")).unlink()
    assert damaged_or_right(folder, 4)


def test_damage_is_called_damage_wherever_the_folder_lies(tmp_path: Path) -> None:
    """ "block", "blockchain": the word LevelDB uses for a folder in use is in many others."""
    folder = tmp_path / "blockchain" / "ledger"
    filled(folder, 4)
    LevelStore(folder).close()
    next(folder.glob("*.ldb")).unlink()
    with pytest.raises(StoreError) as refusal:
        LevelStore(folder)
    check_message(str(refusal.value))


def test_a_log_cut_short_loses_whole_batches_and_says_nothing(folder: Path) -> None:
    """No checksum can tell: it is the vote journal that knows better (test_ledger.py, PROTOCOL.md)."""
    filled(folder, 8)
    log = max(folder.glob("*.log"), key=lambda path: path.stat().st_size)
    os.truncate(log, log.stat().st_size * 5 // 8)
    store = LevelStore(folder)
    assert 0 < whole_batches(store) < 8
    store.close()


# -- a full disk ------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small file system needs root: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(store: LevelStore, first: int = 0) -> tuple[int, str]:
    """Write batches until the disk is full: (batches acknowledged, what the store said)."""
    number = first
    while True:
        try:
            store.write(batch_of(number))
        except StoreError as error:
            return number, str(error)
        number += 1


def fill_up(path: Path) -> None:
    """Write a file until not a byte more fits on its disk."""
    piece = 4096
    with path.open("wb", buffering=0) as ballast:
        while piece:
            try:
                ballast.write(bytes(piece))
            except OSError:
                piece //= 2


def test_a_full_disk_ends_writing_and_loses_nothing_acknowledged(small_disk: Path) -> None:
    folder = small_disk / "ledger"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(700_000))
    store = LevelStore(folder, create=True)
    batches, message = fill(store)
    assert batches > 5
    assert "\n" not in message
    assert "No space left on device" in message
    assert "free disk space" in message
    assert "b'" not in message
    ballast.unlink()
    with pytest.raises(StoreError):
        store.write(batch_of(batches))  # space or not: what follows a failed write could be lost
    store.close()
    store = LevelStore(folder)
    assert whole_batches(store) == batches
    store.write(batch_of(batches))
    store.close()


def test_opening_on_a_full_disk_is_not_called_damage(small_disk: Path) -> None:
    folder = small_disk / "ledger"
    filled(folder, 3)
    fill_up(small_disk / "ballast")
    with pytest.raises(StoreError) as refusal:
        LevelStore(folder)
    assert "damaged" not in str(refusal.value)
    assert "free disk space" in str(refusal.value)
    (small_disk / "ballast").unlink()
    store = LevelStore(folder)
    assert whole_batches(store) == 3
    store.close()


LIMITED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
from chain.store import LevelStore
from tests.chain.test_store import fill
print(*fill(LevelStore(Path(sys.argv[1]), create=True)))
"""


def test_a_file_that_may_not_grow_is_a_failed_write_too(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    batches, message = done.stdout.split(" ", 1)
    assert "cannot write" in message
    assert "File too large" in message
    store = LevelStore(folder)
    assert whole_batches(store) == int(batches) > 5
    store.close()


# -- opening ----------------------------------------------------------------------------------------------


def test_no_ledger_is_made_by_mistake(folder: Path) -> None:
    with pytest.raises(StoreError, match="no ledger here: check `data`"):
        LevelStore(folder)
    assert not folder.exists()


def test_a_folder_in_use_here(folder: Path) -> None:
    store = LevelStore(folder, create=True)
    with pytest.raises(StoreError, match="another process has this ledger open: stop it first"):
        LevelStore(folder)
    store.close()
    LevelStore(folder).close()


def test_a_folder_in_use_by_another_process(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(folder), "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(StoreError, match="another process has this ledger open: stop it first"):
            LevelStore(folder)
        writer.kill()
        writer.stdout.read()
    LevelStore(folder).close()


# -- rows -------------------------------------------------------------------------------------------------

ROWS = st.lists(st.tuples(st.binary(max_size=3), st.none() | st.binary(max_size=4)), max_size=12)


@pytest.fixture(scope="module")
def shared_level(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LevelStore]:
    store = LevelStore(tmp_path_factory.mktemp("rows") / "ledger", create=True)
    yield store
    store.close()


@given(batches=st.lists(ROWS, max_size=4), start=st.binary(max_size=3), stop=st.binary(max_size=3))
@settings(max_examples=25)
def test_both_stores_answer_alike(
    shared_level: LevelStore, batches: list[list[tuple[bytes, bytes | None]]], start: bytes, stop: bytes
) -> None:
    """The simulator stands on the one in memory: it must not know anything that LevelDB does not."""
    memory = MemoryStore()
    shared_level.write([(key, None) for key, _ in list(shared_level.scan(b"", b"\xff" * 9))])
    for rows in batches:
        memory.write(rows)
        shared_level.write(rows)
    assert list(memory.scan(start, stop)) == list(shared_level.scan(start, stop))
    assert list(memory.scan(start, stop, reverse=True)) == list(shared_level.scan(start, stop, reverse=True))
    for rows in batches:
        for key, _ in rows:
            assert memory.get(key) == shared_level.get(key)


@pytest.mark.parametrize("kind", ["level", "memory"])
def test_a_batch_that_fails_while_it_is_made_writes_nothing(folder: Path, kind: str) -> None:
    store = LevelStore(folder, create=True) if kind == "level" else MemoryStore()

    def rows() -> Iterator[tuple[bytes, bytes | None]]:
        yield b"a", b"1"
        raise RuntimeError("a bug while rows are made")

    with pytest.raises(RuntimeError):
        store.write(rows())
    assert store.get(b"a") is None
    store.close()


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_heights_in_keys_sort_as_they_count(one: int, other: int) -> None:
    assert (by_height(b"h", one) < by_height(b"h", other)) is (one < other)
    assert (inverse(one) < inverse(other)) is (one > other)
    assert height_of_inverse(inverse(one)) == one
    assert b"n" + inverse(one) < successor(b"n")
