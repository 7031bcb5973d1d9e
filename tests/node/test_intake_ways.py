"""The ways in over the real records contract: folders, pulls from a real server, pushes, what kills a reader."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.crypto import SigningKey
from node.config_intake import Folder, Pull, Push
from node.intake.desk import MAX_CRASHES, Marks, Pause, Status
from node.intake.pulling import Puller
from node.intake.pushing import PushTaker
from node.intake.receipts import kept_name
from node.intake.spool import ConflictError, PushedFile, Spool, job_id
from node.intake.watching import FolderWatch
from tests.ledger_gateway import LedgerDesk, LedgerGateway, consortium, contract, package

ENCRYPTION = SigningKey.from_seed(bytes(32))


@pytest.fixture
def gateway() -> LedgerGateway:
    return LedgerGateway(consortium())


@pytest.fixture
def status() -> Status:
    return Status()


@pytest.fixture
def desk(gateway: LedgerGateway, status: Status, tmp_path: Path) -> LedgerDesk:
    return LedgerDesk(gateway, Marks(tmp_path / "marks", after_crash=False), status)


# -- a watched folder --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "exports"
    path.mkdir()
    return path


@pytest.fixture
def watch(folder: Path, desk: LedgerDesk, status: Status) -> Iterator[FolderWatch]:
    made = FolderWatch(Folder(name="exports", path=folder, still_s=5), desk, status)
    yield made
    made.close()


def receipts(folder: Path, where: str) -> dict[str, dict[str, Any]]:
    found = [
        json.loads(path.read_text()) for path in (folder / where).glob("*.json") if path.name.count(".json") == 2
    ]
    return {value["file"]: value for value in found}


def test_a_file_is_taken_when_it_has_stood_still(folder: Path, watch: FolderWatch, status: Status) -> None:
    path = folder / "a.json"
    whole = package(contract("a"))
    path.write_bytes(whole[:200])
    watch.step(0.0)
    watch.step(4.9)
    assert path.exists()
    path.write_bytes(whole)  # the writer goes on just before it counts as still
    watch.step(5.1)
    watch.step(10.0)
    assert path.exists()
    watch.step(10.2)
    assert not path.exists()
    receipt = receipts(folder, "done")["a.json"]
    assert (receipt["outcome"], receipt["counts"], receipt["system"]) == ("taken", {"sealed": 1}, "exports")
    assert [row["outcome"] for row in receipt["files"][0]["records"]] == ["sealed"]
    assert status.to_json()["exports"]["sealed"] == 1


def test_a_renamed_file_is_taken_at_once_where_writers_rename(folder: Path, desk: LedgerDesk, status: Status) -> None:
    watch = FolderWatch(Folder(name="exports", path=folder, still_s=0), desk, status)
    (folder / "b.json.part").write_bytes(package(contract("b"))[:99])
    (folder / ".c.json").write_bytes(package(contract("c")))
    (folder / "sub").mkdir()
    (folder / "link.json").symlink_to("/etc/hostname")
    watch.step(0.0)
    assert not list((folder / "done").iterdir())
    (folder / ".c.json").rename(folder / "c.json")
    watch.step(1.0)
    assert set(receipts(folder, "done")) == {"c.json"}
    assert {path.name for path in folder.iterdir()} >= {"b.json.part", "sub", "link.json"}
    watch.close()


def test_a_refused_file_says_why_and_its_good_records_are_in(folder: Path, watch: FolderWatch) -> None:
    (folder / "mixed.json").write_bytes(package(contract("m1"), contract("m2", signed="2025-12-01")))
    (folder / "broken.json").write_bytes(b"{")
    watch.step(0.0)
    watch.step(6.0)
    found = receipts(folder, "refused")
    assert found["mixed.json"]["counts"] == {"sealed": 1, "refused by the chain": 1}
    assert found["broken.json"]["files"][0]["refused"][0]["code"] == "BAD_JSON"
    assert [row["code"] for row in found["mixed.json"]["files"][0]["records"]] == ["", "FUTURE_EVENT"]
    assert not (folder / "mixed.json").exists()


def test_a_crash_before_the_move_keeps_the_first_receipt(
    folder: Path, watch: FolderWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "d.json").write_bytes(package(contract("d")))
    watch.step(0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            watch.step(6.0)
    assert (folder / "d.json").exists()
    watch.step(7.0)
    watch.step(13.0)
    assert not (folder / "d.json").exists()
    assert receipts(folder, "done")["d.json"]["counts"] == {"sealed": 1}


def _power_cut(_path: Path, _target: Path) -> None:
    raise KeyboardInterrupt


def test_a_lost_node_leaves_everything_in_place_and_is_tried_later(
    folder: Path, watch: FolderWatch, gateway: LedgerGateway, status: Status
) -> None:
    (folder / "e.json").write_bytes(package(contract("e")))
    gateway.lose_at = 0
    watch.step(0.0)
    watch.step(6.0)
    assert "no node answers" in status.to_json()["exports"]["problem"]
    assert (folder / "e.json").exists()
    gateway.lose_at = None
    watch.step(6.5)
    assert (folder / "e.json").exists()
    watch.step(7.5)
    assert receipts(folder, "done")["e.json"]["counts"] == {"sealed": 1}
    assert status.to_json()["exports"]["problem"] == ""


def test_two_nodes_never_watch_one_folder(folder: Path, watch: FolderWatch, desk: LedgerDesk) -> None:
    watch.step(0.0)
    status = Status()
    other = FolderWatch(Folder(name="exports", path=folder), desk, status)
    other.step(0.0)
    assert "another node watches" in status.to_json()["exports"]["problem"]


def test_names_that_come_again_are_kept_apart(folder: Path, watch: FolderWatch) -> None:
    now = 0.0
    for amount in ("1", "2"):
        (folder / "export.json").write_bytes(package(contract(f"x{amount}", amount)))
        watch.step(now)
        watch.step(now := now + 6.0)
    assert len(list((folder / "done").glob("*-export.json"))) == 2


def test_a_kept_name_fits_any_disk() -> None:
    assert len(kept_name(bytes(32), "ä" * 250 + ".json").encode()) + len(".json") <= 255
    assert kept_name(bytes(32), "../\0x").count("/") == 0
    assert os.fsencode(kept_name(bytes(32), "bad\udcff.xml"))


# -- what kills the reader ---------------------------------------------------------------------------------


def test_what_kills_the_reader_is_taken_alone_and_given_up_in_the_end(
    gateway: LedgerGateway, folder: Path, tmp_path: Path, status: Status
) -> None:
    """Marks that a dead process left count; a kill of the whole node does not."""
    (folder / "poison.json").write_bytes(package(contract("p")))
    (folder / "fine.json").write_bytes(package(contract("f")))

    def dies(after_crash: bool, steps: Callable[[FolderWatch], None]) -> LedgerDesk:
        desk = LedgerDesk(gateway, Marks(tmp_path / "marks", after_crash=after_crash), status)
        watch = FolderWatch(Folder(name="exports", path=folder, still_s=0), desk, status)
        steps(watch)
        watch.close()
        return desk

    for _ in range(5):  # the node is killed: nobody is to blame
        assert not dies(False, lambda _: leave_marks(tmp_path)).is_suspect(feed_of(folder), "poison.json")
    leave_marks(tmp_path)
    for death in range(MAX_CRASHES - 1):
        assert dies(True, lambda _: leave_marks(tmp_path)).is_suspect(feed_of(folder), "poison.json"), death
    dies(True, lambda watch: watch.step(0.0))
    assert receipts(folder, "refused")["poison.json"]["files"][0]["refused"][0]["code"] == "READER_DIED"
    assert set(receipts(folder, "done")) == {"fine.json"}
    assert not dies(False, lambda _: None).is_suspect(
        feed_of(folder), "poison.json"
    )  # dropped again it is read again


def feed_of(folder: Path) -> Folder:
    return Folder(name="exports", path=folder)


_LEFT: list[Any] = []
"""Entered and never left, like what a dead process was doing."""


def leave_marks(tmp_path: Path) -> None:
    """As a process that dies while it reads leaves them."""
    reading = Marks(tmp_path / "marks", after_crash=False).reading(["exports\npoison.json"])
    reading.__enter__()
    _LEFT.append(reading)


def test_pauses_double_up_to_a_bound_and_begin_again() -> None:
    pause, now, waits = Pause(1.0, 5.0), 0.0, []
    for _ in range(5):
        pause.failed(now)
        until = next(t / 10 for t in range(1000) if pause.over(now + t / 10))
        waits.append(until)
        now += until
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    pause.succeeded()
    assert pause.over(now)
    pause.failed(now, at_least_s=30.0)
    assert not pause.over(now + 29.0)


# -- a pull ------------------------------------------------------------------------------------------------


class Platform(http.server.ThreadingHTTPServer):
    """Answers what the test puts into ``answers``: (status, headers, body) by path and query."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Platform

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response_only(status)  # no Date but the test's
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


class Clock:
    """Unix time that the test sets."""

    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pull(platform: Platform, desk: LedgerDesk, status: Status, tmp_path: Path, clock: Clock) -> Callable[..., Puller]:
    def make(**settings: Any) -> Puller:
        feed = Pull(**{"name": "platform", "url": f"{platform.url}/all", "interval_s": 100, **settings})
        return Puller(feed, desk, status, tmp_path / "pull", clock)

    return make


def test_pages_are_followed_and_nothing_is_fetched_twice(
    pull: Callable[..., Puller], platform: Platform, clock: Clock, status: Status, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    puller = pull(headers={"Accept": "application/json"}, secret_headers={"X-Key": tmp_path / "secret"})
    platform.answers["/all"] = (200, {"ETag": '"1"', "Link": '</all?p=2>; rel="next"'}, package(contract("p1")))
    platform.answers["/all?p=2"] = (200, {}, package(contract("p2")))
    puller.step(0.0)
    assert [path for path, _ in platform.asked] == ["/all", "/all?p=2"]
    assert platform.asked[0][1]["X-Key"] == "s3cret"
    assert status.to_json()["platform"]["sealed"] == 2
    puller.step(1.0)
    assert len(platform.asked) == 2  # not due yet
    clock.now += 101
    platform.answers["/all"] = (304, {}, b"")
    puller.step(2.0)
    assert platform.asked[-1][1]["If-None-Match"] == '"1"'
    assert pull().state == puller.state
    assert pull().state.etag == '"1"'


def test_a_round_that_broke_off_goes_on_at_its_page(
    pull: Callable[..., Puller], platform: Platform, gateway: LedgerGateway, status: Status
) -> None:
    platform.answers["/all"] = (200, {"Link": '<?p=2>; rel="next"'}, package(contract("q1")))
    platform.answers["/all?p=2"] = (200, {"Link": '<?p=3>; rel="next"'}, package(contract("q2")))
    platform.answers["/all?p=3"] = (200, {}, package(contract("q3")))
    gateway.lose_at = 2  # at the second page
    first = pull()
    first.step(0.0)
    assert "no node answers" in status.to_json()["platform"]["problem"]
    assert first.state.next.endswith("/all?p=2")
    gateway.lose_at = None
    pull().step(0.0)  # another process, after a crash
    assert [path for path, _ in platform.asked] == ["/all", "/all?p=2", "/all?p=2", "/all?p=3"]
    assert status.to_json()["platform"]["sealed"] == 3


def test_a_since_parameter_moves_on_when_the_records_are_in(
    pull: Callable[..., Puller], platform: Platform, clock: Clock
) -> None:
    settings = {"since_parameter": "since", "since_start": "2020-01-01", "since_overlap_s": 60}
    date = {"Date": "Tue, 24 Nov 2026 12:00:00 GMT"}
    platform.answers["/all?since=2020-01-01"] = (200, date, package(contract("s1")))
    pull(**settings).step(0.0)
    clock.now += 101
    pull(**settings).step(0.0)
    assert platform.asked[-1][0] == "/all?since=2026-11-24T11%3A59%3A00Z"
    assert len(platform.asked) == 2


def test_a_cursor_in_a_header(pull: Callable[..., Puller], platform: Platform, clock: Clock) -> None:
    settings = {"since_parameter": "after", "since_header": "X-Next"}
    platform.answers["/all"] = (200, {"X-Next": "c1"}, package(contract("h1")))
    platform.answers["/all?after=c1"] = (204, {"X-Next": "c2"}, b"")
    for _ in range(3):
        pull(**settings).step(0.0)
        clock.now += 101
    assert [path for path, _ in platform.asked] == ["/all", "/all?after=c1", "/all?after=c2"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, {}, b""), "answered 500"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "answered 302: correct url"),
        ((200, {}, b"x" * 2_001), "more than 2000 bytes: raise max_bytes"),
        ((200, {"Link": '<http://127.0.0.2:9/>; rel="next"'}, b"{}"), "next page is on another host"),
    ],
)
def test_what_cannot_be_had_is_said_and_tried_later(
    pull: Callable[..., Puller],
    platform: Platform,
    status: Status,
    answer: tuple[int, dict[str, str], bytes],
    said: str,
) -> None:
    platform.answers["/all"] = answer
    puller = pull(max_bytes=2_000)
    puller.step(0.0)
    assert said in status.to_json()["platform"]["problem"]
    puller.step(0.5)
    assert len(platform.asked) == 1
    platform.answers["/all"] = (200, {}, package(contract("later")))
    puller.step(1.0)
    assert status.to_json()["platform"]["sealed"] == 1


def test_a_server_that_asks_for_patience_gets_it(pull: Callable[..., Puller], platform: Platform) -> None:
    platform.answers["/all"] = (429, {"Retry-After": "50"}, b"")
    puller = pull()
    puller.step(0.0)
    puller.step(49.0)
    assert len(platform.asked) == 1
    puller.step(50.0)
    assert len(platform.asked) == 2


def test_a_page_that_is_gone_starts_the_round_again(
    pull: Callable[..., Puller], platform: Platform, status: Status
) -> None:
    platform.answers["/all"] = (200, {"Link": '<?cursor=old>; rel="next"'}, package(contract("g1")))
    puller = pull()
    puller.step(0.0)
    assert "answered 404" in status.to_json()["platform"]["problem"]
    assert puller.state.next == ""
    platform.answers["/all"] = (200, {}, package(contract("g1")))
    puller.step(1.0)
    assert status.to_json()["platform"]["problem"] == ""


def test_a_bad_page_is_kept_with_its_reason_and_the_round_goes_on(
    pull: Callable[..., Puller], platform: Platform, tmp_path: Path, status: Status
) -> None:
    platform.answers["/all"] = (200, {"Link": '<?p=2>; rel="next"'}, b"<html>sorry</html>")
    platform.answers["/all?p=2"] = (200, {}, package(contract("k2")))
    pull().step(0.0)
    refused = sorted(path.name for path in (tmp_path / "pull/refused").iterdir())
    assert len(refused) == 2
    assert (tmp_path / "pull/refused" / refused[0]).read_bytes() == b"<html>sorry</html>"
    assert json.loads((tmp_path / "pull/refused" / refused[1]).read_text())["outcome"] == "refused"
    assert status.to_json()["platform"]["sealed"] == 1


def test_a_server_that_is_down_and_a_secret_that_is_missing(
    pull: Callable[..., Puller], status: Status, tmp_path: Path
) -> None:
    pull(url="http://127.0.0.1:9/none").step(0.0)
    assert "no answer" in status.to_json()["platform"]["problem"]
    pull(secret_headers={"X": tmp_path / "absent"}).step(0.0)
    assert "absent (No such file or directory): correct its path" in status.to_json()["platform"]["problem"]


# -- pushed files ------------------------------------------------------------------------------------------


def test_the_spool_keeps_whole_requests_and_knows_their_keys(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ENCRYPTION.public, [ENCRYPTION])
    files = [PushedFile("a.xml", b"one"), PushedFile("b.xml", b"two")]
    job = spool.add("erp", "key", files, 5)
    assert job == job_id("erp", "key") != job_id("other", "key")
    assert spool.add("erp", "key", files, 9) == job
    with pytest.raises(ConflictError):
        spool.add("erp", "key", files[:1], 9)
    earlier = spool.add("erp", "key-2", files[:1], 4)
    again = Spool(tmp_path, ENCRYPTION.public, [ENCRYPTION])
    assert [one.id for one in again.waiting()] == [earlier, job]
    assert [again.read(path) for _, path in again.waiting()[1].files] == [b"one", b"two"]
    assert again.look(job) == {
        "job": job, "state": "waiting", "feed": "erp", "received": 5, "digest": again.waiting()[1].digest,
        "files": ["a.xml", "b.xml"],
    }  # fmt: skip
    again.finish(again.waiting()[1], {"outcome": "taken"})
    done = spool.look(job)
    assert done is not None
    assert (done["state"], done["outcome"], spool.backlog()) == ("done", "taken", 1)
    assert spool.add("erp", "key", files, 20) == job
    assert spool.backlog() == 1


def test_what_waits_is_sealed_to_the_members_own_key(desk: LedgerDesk, status: Status, tmp_path: Path) -> None:
    data = package(contract("p1"))
    spool = Spool(tmp_path, ENCRYPTION.public, [ENCRYPTION])
    job = spool.add("erp", "key", [PushedFile("a.json", data)], 1)
    ((_, path),) = spool.waiting()[0].files
    assert data[:40] not in path.read_bytes()
    feed = Push(name="erp", tokens_sha256=["0" * 64])
    other = SigningKey.from_seed(bytes([1]) * 32)
    rotated = Spool(tmp_path, other.public, [other])
    PushTaker([feed], desk, status, rotated, 30).step(0.0)
    assert spool.backlog() == 1, "without its key a job waits, it is not lost"
    assert "put it back into keys.encryption" in status.to_json()["erp"]["problem"]
    both = Spool(tmp_path, other.public, [other, ENCRYPTION])
    PushTaker([feed], desk, status, both, 30).step(0.0)
    done = spool.look(job)
    assert done is not None
    assert done["outcome"] == "taken"
    spool.add("erp", "key-2", [PushedFile("a.json", data)], 2)
    ((_, path),) = spool.waiting()[0].files
    path.write_bytes(path.read_bytes()[:-1])
    PushTaker([feed], desk, status, both, 30).step(1.0)
    refused = spool.look_up("erp", "key-2")
    assert refused is not None
    assert "damaged on the node's disk" in refused["files"][0]["refused"][0]["reason"]


def test_a_crash_between_outcome_and_clearing_does_not_bring_a_job_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ENCRYPTION.public, [ENCRYPTION])
    job = spool.add("erp", "key", [PushedFile("a", b"x")], 1)
    (tmp_path / "done" / f"{job}.json").write_text(json.dumps({"feed": "erp", "received": 1, "digest": "d"}))
    (tmp_path / "waiting" / ".half").mkdir()
    assert spool.waiting() == []
    assert spool.backlog() == 0


def test_outcomes_are_forgotten_after_a_while(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ENCRYPTION.public, [ENCRYPTION])
    job = spool.add("erp", "key", [PushedFile("a", b"x")], 1)
    spool.finish(spool.waiting()[0], {})
    made = (tmp_path / "done" / f"{job}.json").stat().st_mtime
    spool.sweep(30, made + 29 * 86_400)
    assert spool.look(job) is not None
    spool.sweep(30, made + 31 * 86_400)
    assert spool.look(job) is None


def test_jobs_are_taken_together_and_each_has_its_own_outcome(
    desk: LedgerDesk, gateway: LedgerGateway, status: Status, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "jobs", ENCRYPTION.public, [ENCRYPTION])
    feed = Push(name="erp", tokens_sha256=["0" * 64])
    good = [spool.add("erp", f"k{number}", [PushedFile("x", package(contract(f"j{number}")))], number)
            for number in range(5)]  # fmt: skip
    bad = spool.add("erp", "bad", [PushedFile("ok.json", package(contract("j9"))), PushedFile("no.xml", b"<a/>")], 9)
    gone = spool.add("removed", "k", [PushedFile("x", b"y")], 10)
    PushTaker([feed], desk, status, spool, 30).step(0.0)
    assert len(gateway.sent) == 1
    for job in good:
        found = spool.look(job)
        assert found is not None
        assert (found["state"], found["outcome"], found["counts"]) == ("done", "taken", {"sealed": 1})
    mixed = spool.look(bad)
    assert mixed is not None
    assert [(row["file"], row["outcome"]) for row in mixed["files"]] == [("ok.json", "sealed"), ("no.xml", "refused")]
    removed = spool.look(gone)
    assert removed is not None
    assert "not configured" in removed["reason"]
    assert spool.backlog() == 0
