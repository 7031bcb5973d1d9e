"""A canary in every sealed field of every kind, and in the raw files: who was not invited never sees one.

Five processes: owners of three chains, a reader that all of them name, a member without a vote. Searched are all
bytes on every node's disk, every frame between nodes before it is encrypted, and every answer of the uninvited APIs.
The reader, and nobody else, gets every canary.
"""

from __future__ import annotations

import base64
import csv
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from chain import sealed
from chain.codec import encode
from chain.store import LevelStore
from genesis import library
from genesis.dev import make_dev
from node import processes
from node.processes import LocalNodes, NodeProcess, free_ports
from tallystick import Client
from tests.cli.conftest import PASSPHRASE, run
from tests.live_network import READY_S, ROOT, wait

pytestmark = pytest.mark.slow

TEMPLATE: Final = library.template("general-trade")
CANARY: Final = "Zq7CANARY"
OPEN: Final = "Zq7OPENLY"
"""What is searched the same way and must be found: it stands in open fields."""
READER: Final = "lender"
STRANGER: Final = "auditor"
OWNERS: Final = {"erp": "erp", "guarantor": "guarantor", "procurement": "procurement"}
DAY: Final = "2025-05-01"
HEAD: Final = ("Kind", "Number", "Day", "Party", "Remark")
FOREIGN: Final = ("chain", "sealed_root", "digest", "name", "reader")
FILLED: Final = {"date": DAY, "money": "10.00", "decimal": "1", "integer": "1", "code": "GBP", "text": "text"}


@dataclass
class Planted:
    """One owner's file: its canaries by kind and field, and the one in a column that becomes no field."""

    owner: str
    path: Path
    mapping: Path
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    raw: str = ""


def plant(folder: Path, owner: str, serial: Iterator[int]) -> Planted:
    """A table with one document of each kind that the owner's role uploads and that has sealed fields."""
    planted = Planted(owner, folder / f"{owner}.csv", folder / f"{owner}.json", raw=f"{CANARY}{next(serial):04}")
    rows = []
    columns: dict[str, str] = {}
    for kind, rules in TEMPLATE["kinds"].items():
        hidden = {name: rule for name, rule in rules["fields"].items() if not rule["open"]}
        if not hidden or rules["uploaders"][0] != owner:
            continue
        shown = {name: FILLED[rule["type"]] for name, rule in rules["fields"].items() if rule["required"]}
        planted.fields[kind] = {name: f"{CANARY}{next(serial):04}" for name in hidden}
        columns |= {name: rules["fields"][name]["type"] for name in (*shown, *hidden)}
        head = dict(zip(HEAD, (kind, f"{OPEN}-{kind}", DAY, "GB-COH:77700002", planted.raw), strict=True))
        rows.append({**head, **shown, **planted.fields[kind]})
    with planted.path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*HEAD, *columns], restval="")
        writer.writeheader()
        writer.writerows(rows)
    planted.mapping.write_text(json.dumps(mapping(owner, planted.fields, columns)), encoding="utf-8")
    return planted


def mapping(owner: str, kinds: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """What the columns mean."""
    types = {"date": "date", "money": "number", "decimal": "number", "integer": "number"}
    return {
        "name": f"canaries-{owner}", "version": 1, "own": {"id": "GB-COH:77700001"},
        "table": {
            "kind": {"column": "Kind", "values": {kind: kind for kind in kinds}},
            "number": "Number", "issuer": "enterprise", "enterprise": "own", "counterparty": {"column": "Party"},
            "occurred_at": "Day",
            "fields": {name: {"column": name, "type": types.get(form, "text")} for name, form in columns.items()},
            "dates": {"formats": ["YYYY-MM-DD"]}, "numbers": {"decimal": "."}, "csv": {"delimiter": ","},
        },
    }  # fmt: skip


def needles(word: str) -> list[bytes]:
    """How a word may stand in bytes: as it is, as hex, in base64 wherever it begins, in UTF-16."""
    plain = word.encode()
    shifted = [base64.b64encode(bytes(shift) + plain)[4 if shift else 0 : -4] for shift in range(3)]
    return [plain, plain.hex().encode(), plain.hex().upper().encode(), word.encode("utf-16-le"), *shifted]


def hits(places: Iterator[tuple[str, bytes]], word: str) -> list[str]:
    """Where a word stands."""
    wanted = needles(word)
    return [place for place, data in places if any(needle in data for needle in wanted)]


def on_disk(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, and every row of the databases among them (their files are compressed)."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes()
            if path.name == "CURRENT":
                with closing(LevelStore(path.parent)) as store:
                    rows = [key + value for key, value in store.scan(b"", b"\xff" * 64)]
                yield f"{path.parent} rows", b"\n".join(rows)


class Crawl:
    """Asks a node's API everything that it can be asked, of all that is known of the network."""

    def __init__(self, url: str, known: Mapping[str, Sequence[str]]) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)
        self._known = known

    def answers(self) -> Iterator[tuple[str, bytes]]:
        """(request, answer) of every GET route, with every value that its parameters can have."""
        with self._http:
            paths = self._http.get("/openapi.json").json()["paths"]
            for path, methods in sorted(paths.items()):
                if "get" in methods:
                    yield from self._route(path, methods["get"].get("parameters", []))

    def _route(self, path: str, parameters: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
        named = [row["name"] for row in parameters if row["required"] or row["name"] in ("chain", "kind")]
        unknown = [name for name in named if name not in self._known]
        assert not unknown, f"{path}: say in this test which values {', '.join(unknown)} can have"
        for values in itertools.product(*(self._known[name] for name in named)):
            given = dict(zip(named, values, strict=True))
            query = {name: value for name, value in given.items() if f"{{{name}}}" not in path}
            yield self._get(path.format(**given), query)

    def _get(self, url: str, query: Mapping[str, str]) -> tuple[str, bytes]:
        """A stream of events never ends: what has come within a moment is its answer."""
        request = f"{url} {json.dumps(query)}"
        data = b""
        try:
            with self._http.stream(
                "GET", url, params=query, timeout=httpx.Timeout(20, read=0.3 if "events" in url else 20)
            ) as answer:
                for piece in answer.iter_bytes():
                    data += piece
        except httpx.ReadTimeout:
            assert "events" in url, request
        return request, data


def tapped(node: NodeProcess) -> subprocess.Popen[bytes]:
    """`node.processes` starts nodes with their wires kept."""
    with node.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.tapped_node", str(node.folder / processes.CONFIG_FILE)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=node.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
        )  # fmt: skip


def in_custody(client: Client, owner: str) -> bool:
    """Whether every deposit of a chain, at least one, is at all its custodians."""
    count = client.state("consortium", "custody", "deposits", owner) or 0
    entries = [client.state("consortium", "custody", "deposit", owner, number) for number in range(count)]
    return count > 0 and all(entry["held"].keys() == entry["roots"].keys() for entry in entries)


def await_custody(url: str, owner: str) -> None:
    """Bounded, but generous."""
    with Client(url) as client:
        wait(lambda: in_custody(client, owner), f"{owner} in custody", 60.0)


@dataclass
class Scene:
    """The network after everything was taken in, with what was planted and what nodes answered."""

    home: Path
    planted: list[Planted]
    records: dict[str, dict[str, Any]]
    """Id → the record's entry."""
    answers: dict[str, list[tuple[str, bytes]]]
    read: list[bytes]
    """What the reader's node gave: sealed bodies and raw documents, by record."""

    @property
    def canaries(self) -> set[str]:
        """All of them."""
        values = {value for row in self.planted for fields in row.fields.values() for value in fields.values()}
        return values | {row.raw for row in self.planted}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Played once; its nodes have stopped when the tests look at their disks."""
    folder = tmp_path_factory.mktemp("confidentiality")
    serial = itertools.count()
    planted = [plant(folder, owner, serial) for owner in OWNERS]
    home = folder / "net"
    make_dev(
        home, observers=(STRANGER,), base_port=free_ports(10), passphrase=PASSPHRASE,
        template_ids=["general-trade"], parameters={"custody_copies": 2},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, LocalNodes(home) as nodes:
        patch.setattr(processes, "_spawn", tapped)
        nodes.start()
        nodes.wait_ready(timeout_s=READY_S)
        urls = {member: node.api for member, node in nodes.nodes.items()}
        records = play(home, planted, urls)
        answers = crawl(urls, records)
        with Client(urls[READER]) as client:
            read = [one for entry in records.values() for one in read_as(client, entry)]
    return Scene(home, planted, records, answers, read)


def play(home: Path, planted: Sequence[Planted], urls: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Readers are named, the files taken in, and everything is in custody; gives the records by id."""
    records: dict[str, dict[str, Any]] = {}
    for row in planted:
        acting = ("--home", home, "--as", row.owner, "--json")
        named = run("record", "readers", "set", f"*={READER}", *acting)
        assert named.code == 0, named.err
        taken = run("ingest", row.path, "--mapping", row.mapping, "--template", "general-trade", *acting)
        assert taken.code == 0, taken.err
        (report,) = taken.json["files"]
        assert {record["kind"] for record in report["records"]} == row.fields.keys()
        for record in report["records"]:
            shown = run("record", "show", record["id"], *acting)
            assert shown.json["sealed"] == row.fields[record["kind"]], shown.err
            records[record["id"]] = shown.json
    for row in planted:
        await_custody(urls[row.owner], row.owner)
    return records


def crawl(urls: Mapping[str, str], records: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[str, bytes]]]:
    """What every node but the reader's answers, of bodies and files what is asked of those that are not its own: the
    member without a vote everything there is, the others, which know the same, some of it."""
    arrays = [entry["record"] for entry in records.values()]
    places = {member: sorted({row["chain"] for row in records.values()} - {member}) for member in urls}
    with Client(urls[STRANGER]) as client:
        height = client.status()["height"]
        listed = [client.block(number) for number in range(1, height + 1)]
    ids = {tx for block in listed for tx in transaction_ids(block)}
    found = {}
    for member in sorted(urls.keys() - {READER}):
        foreign = [entry["record"] for entry in records.values() if entry["chain"] != member]
        known: dict[str, Sequence[str]] = {
            "height": [str(number) for number in range(1, height + 1)],
            "tx_id": sorted(ids),
            "record_id": sorted(records),
            "chain": places[member],
            "sealed_root": [array[13] for array in foreign],
            "digest": sorted({array[11][3] for array in foreign}),
            "name": sorted({name for array in foreign for name in (array[13], array[11][3])}),
            "reader": [member, READER],
            "kind": sorted({array[2] for array in arrays}),
            "number": sorted({array[4] for array in arrays}),
            "issuer": sorted({array[3] for array in arrays}),
            "enterprise": ["GB-COH:77700001"],
            "key": sorted({encode(["records", "record", *array[2:5]]).hex() for array in arrays}),
            "recipient": ["erp", member],
            "job": ["00" * 16],
            "after": ["0"],
        }
        if member != STRANGER:
            known = {name: values if name in FOREIGN else values[:2] for name, values in known.items()}
        found[member] = list(Crawl(urls[member], known).answers())
    return found


def transaction_ids(block: Any) -> Iterator[str]:
    """Every id of 64 digits that a block's answer names as a transaction's."""
    for name, value in block.items() if isinstance(block, dict) else enumerate(block):
        if name == "id" and isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            yield from transaction_ids(value)


def read_as(client: Client, entry: Mapping[str, Any]) -> list[bytes]:
    """What a reader gets of a record: its sealed body and its raw document."""
    array, chain = entry["record"], entry["chain"]
    return [client.body(bytes.fromhex(array[13]), chain), client.document(bytes.fromhex(array[11][3]), chain)]


def test_every_sealed_field_of_every_kind_has_a_canary(scene: Scene) -> None:
    sealed_fields = {
        (kind, name)
        for kind, rules in TEMPLATE["kinds"].items()
        for name, rule in rules["fields"].items()
        if not rule["open"]
    }
    assert {(kind, name) for row in scene.planted for kind, fields in row.fields.items() for name in fields} == (
        sealed_fields
    )
    assert len(scene.canaries) == len(sealed_fields) + len(OWNERS)
    assert {len(entry["record"][13]) for entry in scene.records.values()} == {64}


def test_the_reader_gets_every_one(scene: Scene) -> None:
    everything = b"\n".join(scene.read)
    assert [word for word in sorted(scene.canaries) if word.encode() not in everything] == []
    for data in scene.read[1::2]:
        assert sealed.decode_raw(data).file.startswith(b"Kind,Number")


def test_no_disk_holds_one_not_even_the_owners(scene: Scene) -> None:
    members = [path.parent for path in sorted(scene.home.glob("*/node.toml"))]
    assert len(members) == 5
    for folder in members:
        assert hits(on_disk(folder), CANARY) == []
        assert hits(on_disk(folder / "data"), OPEN), f"{folder.name}: the search finds nothing at all"


def test_no_frame_carries_one_before_it_is_encrypted(scene: Scene) -> None:
    for folder in sorted(scene.home.glob("*/wire")):
        wires = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
        assert hits(iter(wires), CANARY) == []
        assert hits(iter(wires), OPEN), f"{folder.parent.name}: the search finds nothing at all"
        assert sum(len(data) for _, data in wires) > 10_000
    assert len(list(scene.home.glob("*/wire"))) == 5


def test_no_uninvited_node_answers_with_one(scene: Scene) -> None:
    assert scene.answers.keys() == {"auditor", "erp", "guarantor", "procurement"}
    for member, answers in scene.answers.items():
        foreign = [
            (request, data) for request, data in answers if "/v1/bodies/" in request or "/v1/documents/" in request
        ]
        assert any(b"NOT_A_READER" in data for _, data in foreign), member
        given = [data for request, data in answers if "/v1/copies/" in request and b"tally/custody_copy" in data]
        assert bool(given) == (member != STRANGER), "custodians hand out what only the reader opens"
        assert hits(iter(answers), CANARY) == [], member
        assert hits(iter(answers), OPEN), f"{member}: the search finds nothing at all"


def test_the_search_sees_a_word_however_it_is_written() -> None:
    for data in (
        f"x{CANARY}1".encode(),
        f"x{CANARY}1".encode().hex().encode(),
        f"x{CANARY}1".encode("utf-16-le"),
        *(base64.b64encode(bytes(shift) + f"{CANARY}1".encode()) for shift in range(6)),
    ):
        assert hits(iter([("here", data)]), CANARY) == ["here"]
    assert hits(iter([("here", f"{OPEN}".encode())]), CANARY) == []
