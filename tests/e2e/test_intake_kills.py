"""Connected systems on real processes, killed with SIGKILL in the middle: no record missing, none there twice.

A watched folder, a scheduled pull from a real HTTP server, pushed files, and `tally ingest`, each on four validators.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from click.testing import CliRunner

from chain.codec import decode, encode
from chain.ledger import Ledger
from chain.proof import transactions_of
from cli.main import main
from contracts.records import EVENT, SEALED
from tests.live_network import READY_S, ROOT, Live, wait

pytestmark = pytest.mark.slow

MEMBER = "procurement"
TOKEN = "a-token-of-the-erp-system"
SEED = 20_261_124
BUYER = {"scheme": "GB-COH", "id": "77700101"}
SELLER = {"scheme": "GB-COH", "id": "77700217"}


def contract(number: str) -> dict[str, Any]:
    """An OCDS release with one contract."""
    return {
        "ocid": f"ocds-kill-{number}", "id": number, "date": "2026-05-01T00:00:00Z", "tag": ["contract"],
        "initiationType": "tender", "buyer": {"id": "B", "name": "Buyer"},
        "parties": [
            {"id": "B", "name": "Buyer", "identifier": BUYER, "roles": ["buyer"]},
            {"id": "S", "name": "Seller", "identifier": SELLER, "roles": ["supplier"]},
        ],
        "awards": [{"id": "a", "suppliers": [{"id": "S", "name": "Seller"}]}],
        "contracts": [
            {"id": number, "awardID": "a", "title": "pumps", "value": {"amount": 1000, "currency": "GBP"},
             "dateSigned": "2026-05-01T00:00:00Z",
             "period": {"startDate": "2026-05-01T00:00:00Z", "endDate": "2027-05-01T00:00:00Z"}},
        ],
    }  # fmt: skip


def package(numbers: list[str]) -> bytes:
    """A release package of contracts: one file, many records."""
    about = {"uri": "http://example.test/p", "version": "1.1", "publishedDate": "2026-05-01T00:00:00Z"}
    return json.dumps(
        {**about, "publisher": {"name": "x"}, "releases": [contract(number) for number in numbers]}
    ).encode()


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number:05}" for number in range(count)]


class System(http.server.ThreadingHTTPServer):
    """The member's other system, on loopback: pages by Link rel=next, an ETag, a secret header."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: list[bytes] = []
        self.asked: list[str] = []
        self.conditions: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/contracts"


class Handler(http.server.BaseHTTPRequestHandler):
    server: System
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        page = int(query.get("page", ["0"])[0])
        system = self.server
        system.asked.append(self.path)
        etag = f'"{hashlib.sha256(b"".join(system.pages)).hexdigest()[:16]}"'
        if self.headers.get("X-Api-Key") != "s3cret":
            self.answer(403, b"")
        elif self.headers.get("If-None-Match") == etag:
            system.conditions.append(etag)
            self.answer(304, b"")
        else:
            headers = {"ETag": etag}
            if page + 1 < len(system.pages):
                headers["Link"] = f'<?page={page + 1}>; rel="next"'
            self.answer(200, system.pages[page], headers)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with System() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, system: System) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("intake")) as network:
        folder = network.folder / MEMBER
        (folder / "key").write_text("s3cret\n")
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        with (folder / "node.toml").open("a") as config:
            config.write(f"""
[intake]
poll_s = 1
[[intake.folders]]
name = "exports"
path = "exports"
still_s = 1
[[intake.pulls]]
name = "platform"
url = "{system.url}"
interval_s = 1
secret_headers = {{ X-Api-Key = "key" }}
[[intake.pushes]]
name = "erp-system"
tokens_sha256 = ["{digest}"]
max_bytes = 1000000
max_waiting = 50
""")
        system.pages = [package(["first-page"])]
        network.start()
        yield network


def node_url(live: Live) -> str:
    return live.node(MEMBER).api


def kill_and_start(live: Live) -> None:
    live.nodes.kill(MEMBER)
    live.start(MEMBER)


def worker_of(live: Live) -> dict[str, Any]:
    found: dict[str, Any] = live.status(MEMBER)["intake"]
    return found


def wait_for_record(live: Live, number: str) -> None:
    with live.client(MEMBER) as client:
        wait(lambda: bool(client.records("contract", f"ocds-kill-{number}/{number}")), f"{number} is sealed", READY_S)


def wait_for_another_reader(live: Live, gone: int) -> None:
    wait(lambda: worker_of(live)["pid"] not in (0, gone), "another reader is started", READY_S)


def wait_for_pages(system: System, count: int) -> None:
    before = len(system.asked)
    wait(lambda: len(system.asked) >= before + count, "pages are asked for", READY_S)


def sealed_in(ledger: Ledger, prefix: str, count: int) -> list[str]:
    """The numbers that are not in the state under their natural key."""
    issuer = "GB-COH:77700101"
    return [
        name
        for name in names(prefix, count)
        if ledger.state(MEMBER, encode(["records", "record", "contract", issuer, f"ocds-kill-{name}/{name}"])) is None
    ]


def sealings(ledger: Ledger) -> Counter[tuple[str, str]]:
    """How often each record was newly sealed, over all blocks."""
    found: Counter[tuple[str, str]] = Counter()
    for height in range(1, ledger.height + 1):
        sent = {transaction.id: transaction.records for transaction in transactions_of(ledger.block(height))}
        for receipt in ledger.receipts(height).get(MEMBER, []):
            for name, data in receipt.events:
                if name == EVENT:
                    for record, outcome in zip(sent[receipt.tx_id], data["outcomes"], strict=True):
                        array = decode(record)
                        found[array[2], array[4]] += outcome == SEALED
    return found


def push(live: Live, key: str, data: bytes, token: str = TOKEN, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key, **options.pop("headers", {})}
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.post(f"{node_url(live)}/v1/intake/erp-system", content=data or None, headers=headers, **options)


def job(live: Live, job_id: str) -> dict[str, Any]:
    with httpx.Client(trust_env=False, timeout=30) as client:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        found: dict[str, Any] = client.get(f"{node_url(live)}/v1/intake/jobs/{job_id}", headers=headers).json()
        return found


def test_a_watched_folder(live: Live) -> None:
    folder = live.folder / MEMBER / "exports"
    wait(lambda: (folder / "done").is_dir(), "the folder is watched", READY_S)
    (folder / "half.json.part").write_bytes(package(["never"])[:500])
    (folder / "bad.json").write_bytes(package(["half"])[:300])
    (folder / "good.json").write_bytes(package(["one", "two"]))
    wait(lambda: len(list((folder / "done").glob("*good.json"))) == 1, "the good file is done", READY_S)
    wait(lambda: len(list((folder / "refused").glob("*bad.json"))) == 1, "the bad file is refused", READY_S)
    (receipt,) = [json.loads(path.read_text()) for path in (folder / "done").glob("*good.json.json")]
    assert (receipt["outcome"], receipt["counts"], receipt["system"]) == ("taken", {"sealed": 2}, "exports")
    records = receipt["files"][0]["records"]
    assert [row["outcome"] for row in records] == ["sealed", "sealed"]
    with live.client(MEMBER) as client:
        assert client.records("contract", records[0]["number"])[0]["id"] == records[0]["id"]
    (why,) = [json.loads(path.read_text()) for path in (folder / "refused").glob("*bad.json.json")]
    assert why["files"][0]["refused"][0]["code"] == "BAD_JSON"
    assert (folder / "half.json.part").exists()


def test_a_folder_whose_node_and_reader_are_killed(live: Live) -> None:
    """Files of 400 records; the node, or only the process that reads, is killed while they go in."""
    folder = live.folder / MEMBER / "exports"
    choose = random.Random(SEED)
    for index in range(6):
        numbers = names("watched", 2_400)[index * 400 : (index + 1) * 400]
        (folder / f".w{index}").write_bytes(package(numbers))
        (folder / f".w{index}").rename(folder / f"w{index}.json")
    wait_for_record(live, names("watched", 2_400)[choose.randrange(400)])
    kill_and_start(live)
    wait(lambda: worker_of(live)["pid"] > 0, "a reader is at work", READY_S)
    time.sleep(choose.uniform(0.5, 1.5))
    pid = worker_of(live)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for_another_reader(live, pid)
    wait(lambda: len(list((folder / "done").glob("*w[0-9].json"))) == 6, "every file is done", 60.0, 0.2)
    assert not list((folder / "refused").glob("*w[0-9]*"))
    for path in (folder / "done").glob("*w[0-9].json.json"):
        counts = json.loads(path.read_text())["counts"]
        assert sum(counts.values()) == 400
        assert set(counts) <= {"sealed", "known"}


def test_a_pull_goes_on_where_it_was(live: Live, system: System) -> None:
    """Five pages by Link; the node is killed in between; then nothing changes and nothing is sent."""
    wait_for_record(live, "first-page")
    numbers = names("pulled", 1_500)
    system.pages = [package(numbers[index : index + 300]) for index in range(0, 1_500, 300)]
    wait_for_pages(system, 2)
    kill_and_start(live)
    wait_for_record(live, numbers[-1])
    system.conditions.clear()
    wait(lambda: len(system.conditions) > 1, "unchanged pages are not sent again", READY_S)
    assert not worker_of(live)["ways"]["platform"]["problem"]


def test_pushed_files_and_their_keys(live: Live) -> None:
    first = push(live, "key-1", package(["pushed-a", "pushed-b"]))
    assert first.status_code == 202
    identity = first.json()["job"]
    assert first.headers["location"] == f"/v1/intake/jobs/{identity}"
    wait(lambda: job(live, identity).get("state") == "done", "the job is done", READY_S)
    done = job(live, identity)
    assert (done["outcome"], done["counts"], done["source"]) == ("taken", {"sealed": 2}, "erp-system")
    again = push(live, "key-1", package(["pushed-a", "pushed-b"]))
    assert (again.status_code, again.json()) == (202, {"job": identity, "state": "done"})
    assert push(live, "key-1", package(["pushed-c"])).json()["error"]["code"] == "KEY_USED"
    several = push(
        live, "key-2", b"",
        files=[("files", ("x.json", package(["pushed-d"]))), ("files", ("y.xml", b"<no/>"))],
    )  # fmt: skip
    wait(lambda: job(live, several.json()["job"]).get("state") == "done", "the parts are done", READY_S)
    parts = job(live, several.json()["job"])
    assert parts["outcome"] == "refused"
    assert [(row["file"], row["outcome"]) for row in parts["files"]] == [("x.json", "sealed"), ("y.xml", "refused")]
    assert parts["files"][1]["refused"][0]["code"] == "UNKNOWN_FORMAT"


def test_operators_see_how_the_ways_in_stand(live: Live) -> None:
    def tally(*arguments: str) -> str:
        done = CliRunner().invoke(main, [*arguments, "--home", str(live.folder), "--as", MEMBER])
        assert done.exit_code == 0, done.output
        return done.stdout

    def sealed() -> int:
        return int(worker_of(live)["ways"]["erp-system"].get("sealed", 0))

    wait(lambda: sealed() >= 3, "the counts are told", READY_S)
    ways = json.loads(tally("intake", "status", "--json"))["ways"]
    assert set(ways) == {"exports", "platform", "erp-system"}
    assert ways["erp-system"]["files_refused"] == 1
    assert re.search(r"^intake exports +\d+ files, \d+ records in, \d+ wait", tally("node", "status"), re.MULTILINE)
    assert re.search(r"^ok +intake platform +ready$", tally("node", "doctor"), re.MULTILINE)
    with httpx.Client(trust_env=False) as client:
        text = client.get(f"{node_url(live)}/metrics").text
    assert f'tally_intake_records_sealed_total{{way="erp-system"}} {float(ways["erp-system"]["sealed"])}' in text
    assert "tally_intake_failing 0.0" in text


def test_who_may_push(live: Live) -> None:
    assert push(live, "k", b"{}", token="another").status_code == 401
    assert push(live, "", b"{}").json()["error"]["code"] == "NO_KEY"
    assert push(live, "k-empty", b"").json()["error"]["code"] == "EMPTY"
    large = push(live, "k-large", b"x" * 1_000_001)
    assert large.json()["error"]["code"] == "TOO_LARGE"
    with httpx.Client(trust_env=False) as client:
        other = f"{node_url(live)}/v1/intake/other"
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k"}
        assert client.post(other, content=b"{}", headers=headers).status_code == 404
        assert client.get(f"{node_url(live)}/v1/intake/jobs/{'0' * 32}").status_code == 401


def test_pushes_over_kills(live: Live) -> None:
    """What was answered with 202 goes in, whenever the node is killed after it; what got no answer is sent again."""
    numbers = names("kept", 600)
    jobs = []
    for index in range(30):
        data = package(numbers[index * 20 : (index + 1) * 20])
        for _ in range(20):
            try:
                jobs.append(push(live, f"kept-{index}", data).json()["job"])
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        if index in (9, 29):
            kill_and_start(live)
    wait(lambda: all(job(live, one).get("state") == "done" for one in jobs), "every job is done", 60.0, 0.3)
    for one in jobs:
        done = job(live, one)
        assert (done["outcome"], sum(done["counts"].values())) == ("taken", 20)


@contextmanager
def ingesting(live: Live, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "from cli.main import main; main()", "ingest", str(folder), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    process = subprocess.Popen(
        [*command, "--home", str(live.folder), "--as", MEMBER],
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:  # closes its pipe
        try:
            yield process
        finally:
            process.kill()


def test_tally_ingest_killed_and_run_again(live: Live, tmp_path: Path) -> None:
    """20,000 records in 20 files: the command is killed at random points, the node once, then it runs to its end."""
    numbers = names("ingested", 20_000)
    for index in range(20):
        (tmp_path / f"{index:02}.json").write_bytes(package(numbers[index * 1_000 : (index + 1) * 1_000]))
    choose = random.Random(SEED + 1)
    places = sorted(choose.sample(range(500, 15_000), 4))
    for place in places[:3]:
        with ingesting(live, tmp_path) as process:
            wait_for_record(live, numbers[place])
            assert process.poll() is None, "it was to be killed in the middle"
    with ingesting(live, tmp_path) as process:
        wait_for_record(live, numbers[places[3]])
        kill_and_start(live)  # this run goes on by itself when the node is back
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out[-2_000:]
    done = json.loads(out)
    assert sum(done["records"].values()) == 20_000
    assert set(done["records"]) == {"sealed", "known"}
    assert done["counts"].keys() <= {"sealed", "known"}
    for path in sorted(tmp_path.iterdir())[2:]:
        path.unlink()
    with ingesting(live, tmp_path) as process:
        out, _ = process.communicate(timeout=60)
    assert json.loads(out)["records"] == {"known": 2_000}


def test_at_the_end_nothing_is_missing_and_nothing_there_twice(live: Live) -> None:
    live.level()
    live.nodes.stop()
    with live.ledger_of(MEMBER) as ledger:
        for prefix, count in (("watched", 2_400), ("pulled", 1_500), ("kept", 600), ("ingested", 20_000)):
            assert sealed_in(ledger, prefix, count) == []
        counted = sealings(ledger)
        assert set(counted.values()) == {1}
        assert len(counted) >= 24_500
