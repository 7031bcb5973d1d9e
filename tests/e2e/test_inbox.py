"""What was decided reaches whom it concerns: pages, event streams and webhooks, while receivers and nodes go down."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from chain.codec import encode
from tests.live_network import Live, wait

pytestmark = pytest.mark.slow

SECRET = bytes(range(32))
FIRST, MORE = 12, 6


class Receiver:
    """A lender's own system: checks signatures, refuses the first calls, remembers what it took. Starts late."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.refuse = 2
        self.forged = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(receiver.take(dict(self.headers.items()), body))
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """The status to answer with."""
        given = {name.lower(): value for name, value in headers.items()}
        signed = b".".join((given["webhook-id"].encode(), given["webhook-timestamp"].encode(), body))
        expected = "v1," + base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        if given["webhook-signature"] != expected:
            self.forged += 1
            return 401
        if self.refuse > 0:
            self.refuse -= 1
            return 503
        self.taken.append((given["webhook-id"], json.loads(body)))
        return 204


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    if made.thread.is_alive():
        made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def live(tmp_path: Path, receiver: Receiver) -> Iterator[Live]:
    with Live(tmp_path) as network:
        folder = network.folder / "lender"
        (folder / "webhook.secret").write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n")
        with (folder / "node.toml").open("a") as file:
            file.write(f'\n[[webhooks]]\nurl = "{receiver.url}"\nrecipient = "lender"\n')
            file.write('secret_file = "webhook.secret"\n')
        network.start()
        yield network


def register(live: Live) -> None:
    """The enterprise and its buyer."""
    with live.client("procurement") as client:
        for party in ("SELLER", "BUYER"):
            args = {"id": party.lower(), "name": party, "identifiers": [party]}
            key = live.signers["procurement"]
            client.submit_and_wait(
                client.sign(key, chain="consortium", contract="registry", method="register_party", args=args)
            )


def contracts(live: Live, start: int, count: int) -> None:
    """Seal contracts of one enterprise, and apply to the lender on each."""
    source = ["test", "test", "1", bytes(32), 1]
    records = [
        encode(
            ["tally/record", 1, "contract", "BUYER", f"C-{number}", "SELLER", "BUYER", "general-trade", 1,
             "2026-01-05", [], source, {"value": "1000.00", "currency": "EUR"}, None, None]
        )
        for number in range(start, start + count)
    ]  # fmt: skip
    key = live.signers["procurement"]
    with live.client("procurement") as client:
        client.submit_and_wait(
            client.sign(key, chain="procurement", contract="records", method="submit", records=records)
        )
        for number in range(start, start + count):
            args = {"enterprise": "SELLER", "contract": ["BUYER", f"C-{number}"], "lender": "lender"}
            applied = client.sign(key, chain="consortium", contract="credit", method="apply", args=args)
            client.submit_and_wait(applied)


def streamed(url: str, recipient: str, count: int, last: str | None) -> list[tuple[str, str, dict[str, Any]]]:
    """(id, event, data) of the next events of a stream, as a client that was at ``last`` gets them."""
    headers = {} if last is None else {"last-event-id": last}

    def events() -> Iterator[tuple[str, str, dict[str, Any]]]:
        with httpx.stream("GET", f"{url}/v1/events/{recipient}", headers=headers, timeout=30, trust_env=False) as got:
            assert got.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            for line in got.iter_lines():
                name, _, value = line.partition(": ")
                if not line and "id" in fields:
                    yield fields["id"], fields["event"], json.loads(fields["data"])
                    fields = {}
                elif line and name:
                    fields[name] = value

    return list(islice(events(), count))


def test_notices_reach_the_lender_by_page_stream_and_webhook(live: Live, receiver: Receiver) -> None:
    register(live)
    contracts(live, 0, FIRST)
    with live.client("lender") as client, live.client("erp") as other:
        wait(lambda: len(client.inbox("lender")["notices"]) == FIRST, "the lender's node has all notices")
        page = client.inbox("lender", limit=5)
        rest = client.inbox("lender", after=page["cursor"])
        everything = [*page["notices"], *rest["notices"]]
        cursors = [notice["cursor"] for notice in everything]
        assert len(page["notices"]) == 5
        assert len(set(cursors)) == FIRST
        assert {notice["name"] for notice in everything} == {"applied"}
        wait(lambda: other.inbox("lender")["cursor"] == cursors[-1], "another node has the same")
        assert [notice["cursor"] for notice in other.inbox("lender")["notices"]] == cursors
        assert [n["cursor"] for n in client.inbox("lender", newest=True, limit=2)["notices"]] == cursors[-2:]
        assert client.inbox("nobody")["notices"] == []

    before = streamed(live.node("lender").api, "lender", 4, None)
    after = streamed(live.node("erp").api, "lender", FIRST - 4, before[-1][0])  # reconnects, at another node
    assert [cursor for cursor, _, _ in (*before, *after)] == cursors
    assert [data["data"]["lender"] for _, _, data in before] == ["lender"] * 4

    receiver.thread.start()  # until now nobody answered there
    wait(lambda: len(receiver.taken) >= 3, "the receiver gets what waited for it")
    live.nodes.kill("lender")
    contracts(live, FIRST, MORE)  # and more is decided while the lender's node is down
    live.start("lender")
    wait(lambda: len({name for name, _ in receiver.taken}) == FIRST + MORE, "every notice is taken")
    assert receiver.forged == 0
    first_seen = list(dict.fromkeys(content["cursor"] for _, content in receiver.taken))
    assert first_seen[:FIRST] == cursors  # in order; what was sent twice has the same id and the same content
    assert first_seen == sorted(first_seen, key=lambda text: [int(part) for part in text.split(".")])
    by_id: dict[str, dict[str, Any]] = {}
    for name, content in receiver.taken:
        assert by_id.setdefault(name, content) == content
    assert len(receiver.taken) <= FIRST + MORE + 1  # one at most was under way when the node was killed
    with live.client("lender") as client:
        assert len(client.inbox("lender")["notices"]) == FIRST + MORE
