"""A claim reaches a court over real nodes: one without a vote fetches the bundle, one without a node signs paper.

Four validators and a court that follows them; the lender's loan was due long ago. The tests follow one another.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from genesis.dev import make_dev
from node.processes import LocalNodes, free_ports
from tallystick import Client
from tallystick.evidence import archive
from tests.cli.conftest import EXAMPLE, KESTREL, MARLOW, PASSPHRASE, Network, run
from tests.live_network import READY_S, wait

pytestmark = pytest.mark.slow

CONTRACT = "ocds-7k2vzq-MVW-2026-014-C1"
LONG_AGO = ("--on", "2026-02-01", "--instalment", "2026-03-01:20000.00:300.00")
SUIT = ("--as-of", "2026-11-01", "--terms", "1500,1500,365")
PDF = b"%PDF-1.7 the statement of claim"


@dataclass(frozen=True)
class Court:
    """The network, and a loan that is overdue on it."""

    network: Network
    application: str
    folder: Path

    def bundle(self, name: str, size: int = 1_500_000) -> Path:
        """A bundle in its outer form, of some size; what is in it is no matter of the court contract."""
        path = self.folder / name
        files = {"originals/0001.bin": os.urandom(size), "documents/claim.pdf": PDF, "case.json": b"{}"}
        path.write_bytes(archive.pack(files))
        return path

    def client(self, member: str) -> Client:
        return Client(self.network.nodes.nodes[member].api)


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    folder = tmp_path_factory.mktemp("court")
    for name in ("court", "stranger"):  # before the first block: a certificate that begins later is not valid yet
        make_certificate(folder, name)
    home = folder / "net"
    made = make_dev(
        home,
        observers=("court=court",),
        parties=(KESTREL, MARLOW),
        base_port=free_ports(2 * 5),
        passphrase=PASSPHRASE,
    )
    with LocalNodes(home) as nodes:
        nodes.start()
        nodes.wait_ready(timeout_s=READY_S)
        network = Network(home, made.network_id.hex(), nodes)
        yield Court(network, lent(network), folder)
    shutil.rmtree(home, ignore_errors=True)


def lent(network: Network) -> str:
    """An application whose loan was paid out and due long ago."""
    network.done("erp", "ingest", EXAMPLE, "--all-members")
    network.done("marlow", "credit", "confirm", "contract", CONTRACT)
    network.done("guarantor", "credit", "confirm", "qualification", "MVW-Q-2026-031")
    applied = network.done("kestrel", "credit", "apply", "kestrel", "--contract", CONTRACT, "--lender", "lender")
    application = str(applied["id"])
    network.done("lender", "credit", "assess", application)
    network.done("lender", "credit", "decide", application, "--approve", "20000.00", "--term-days", "28")
    network.done("lender", "credit", "disburse", application, *LONG_AGO)
    return application


def opened(court: Court) -> str:
    done = court.network.done("lender", "court", "open", court.application)
    assert (done["route"], done["reasons"][0][0]) == ("B", "NO_DEED")
    return str(done["case"])


def heard_of(court: Court, who: str, names: set[str]) -> bool:
    """Whether all these notices have come to somebody, as a node that is not its own tells it."""
    with court.client("erp") as client:
        return names <= {notice["name"] for notice in client.inbox(who, newest=True, limit=50)["notices"]}


def deposits(court: Court) -> int:
    with court.client("erp") as client:
        return int(client.state("consortium", "custody", "deposits", "lender") or 0)


def in_custody(court: Court, before: int) -> bool:
    """Whether the lender has a deposit more, held by all for whom a copy was made."""
    with court.client("erp") as client:
        row = client.state("consortium", "custody", "deposit", "lender", before)
    return row is not None and set(row["held"]) >= set(row["roots"])


def to_do(court: Court, who: str, case: str) -> str | None:
    """What of the case waits for somebody, by its inbox."""
    work = court.network.done(who, "inbox")["work"]
    return next((str(item["what"]) for item in work if item["id"] == case), None)


def test_the_bundle_comes_to_the_courts_node_and_to_nobody_else(court: Court) -> None:
    network = court.network
    route = network.done("lender", "court", "route", court.application)
    assert (route["letter"], route["respondents"], route["open_now"]) == ("B", ["kestrel"], True)
    case, bundle = opened(court), court.folder / "bundle.zip"
    assert to_do(court, "lender", case) == "file the case"
    made = network.done("lender", "evidence", "export", case, "-o", bundle, "--unanchored", *SUIT)
    assert made["route"] == "B"
    papers = court.folder / "papers"
    written = network.done("lender", "court", "papers", case, "-o", papers, *SUIT)["documents"]
    inside = archive.unpack(bundle.read_bytes())
    assert {row["language"] for row in written} == {"zh", "en", ""}
    for row in written:  # what the lender reads and signs is what the bundle holds
        assert Path(row["path"]).read_bytes() == inside[f"documents/{Path(row['path']).name}"]
    filed = network.done("lender", "court", "file", case, bundle, "--court", "court")
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert filed["bundle"] == digest

    fetched = court.folder / "fetched.zip"
    network.done("court", "court", "fetch", case, "-o", fetched)  # waits for custody, a second or so
    assert fetched.read_bytes() == bundle.read_bytes()
    assert to_do(court, "court", case) == "acknowledge the case"
    verdict = run("verify", fetched, "--genesis", network.genesis, "--json")
    assert (verdict.code, verdict.json["status"]) == (6, "UNANCHORED"), verdict.out
    for stranger in ("guarantor", "procurement"):  # they keep copies of it, and open none
        refused = network.tally(stranger, "court", "fetch", case, "-o", court.folder / "no.zip", "--json")
        assert refused.code == 3, refused.err
        assert refused.json["error"]["code"] == "NOT_A_READER"
        assert network.tally(stranger, "court", "acknowledge", case).code == 3

    done = network.done("court", "court", "acknowledge", case, "--file", fetched)
    assert done["state"] == "acknowledged"
    with court.client("lender") as client:
        entry = client.state("court", "records", "record", "case", "court", done["record"])
        assert entry["record"][12]["bundle"] == digest
        assert entry["record"][11][3].hex() == digest  # the court keeps the bundle as the record's raw file
    with court.client("court") as client:
        assert client.document(bytes.fromhex(digest)) == bundle.read_bytes()
    for who, heard in (("court", {"case_file"}), ("kestrel", {"case_open", "case_file"})):
        wait(partial(heard_of, court, who, {*heard, "case_acknowledge"}), f"{who} is told", 10)


def test_the_court_asks_gets_more_and_accepts(court: Court) -> None:
    network = court.network
    (case,) = [row["id"] for row in network.done("court", "court", "show")]
    network.done("court", "court", "ask", case, "the delivery notes")
    more = court.bundle("more.zip", 1_000)
    before = deposits(court)
    assert network.done("lender", "court", "supplement", case, more)["filing"] == 1
    wait(partial(in_custody, court, before), "held by every custodian", 30)
    network.nodes.kill("lender")  # the court gets it from a custodian then
    fetched = court.folder / "more-fetched.zip"
    network.done("court", "court", "fetch", case, "-o", fetched)
    assert fetched.read_bytes() == more.read_bytes()
    network.nodes.start("lender")
    network.done("court", "court", "acknowledge", case, "--file", fetched)
    network.nodes.wait_ready("lender", timeout_s=READY_S)
    network.done("court", "court", "accept", case, "--number", "(2026)沪74民初1号")
    shown = network.tally("lender", "court", "show", case)
    assert "(2026)沪74民初1号" in shown.out
    assert "the delivery notes" in shown.out
    late = network.tally("lender", "court", "withdraw", case, "paid", "--json")
    assert (late.code, late.json["error"]["code"]) == (4, "WRONG_STATE")


def test_a_court_without_a_node_gets_a_folder_and_its_signed_answer_comes_back(court: Court) -> None:
    network, folder = court.network, court.folder / "to-court"
    case, bundle = opened(court), court.bundle("by-hand.zip", 2_000)
    network.done("lender", "court", "hand-in", case, bundle, "-o", folder, "--court", "court")
    assert (folder / "documents" / "claim.pdf").read_bytes() == PDF
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    unsigned = network.tally("lender", "court", "take-back", case, folder / "answer.txt")
    assert unsigned.code == 2  # no signature yet

    key = network.home / "court" / "keys" / "signer.json"
    said = ("--answer", "accepts", "--number", "(2026)沪74民初2号", "--day", "2026-11-24", "--key", key)
    answered = run("court", "answer", folder, *said, TALLY_PASSPHRASE=PASSPHRASE)
    assert answered.code == 0, answered.err
    changed = court.folder / "changed.txt"
    changed.write_text((folder / "answer.txt").read_text().replace("初2号", "初3号"))
    (court.folder / "changed.txt.sig").write_bytes((folder / "answer.txt.sig").read_bytes())
    forged = network.tally("lender", "court", "take-back", case, changed, "--json")
    assert (forged.code, forged.json["error"]["code"]) == (6, "WRONG_SIGNATURE")

    done = network.done("lender", "court", "take-back", case, folder / "answer.txt")
    assert (done["state"], done["signed_by"]) == ("accepted", "court")
    with court.client("guarantor") as client:
        entry = client.state("consortium", "court", "case", bytes.fromhex(case))
        paper = client.state("consortium", "court", "paper", entry["filings"][0]["acknowledged"]["paper"])
    assert (entry["number"], paper["text"]) == ("(2026)沪74民初2号", (folder / "answer.txt").read_text())
    later = court.folder / "later.zip"  # the steps of both cases, by node and on paper, are proved like any other
    network.done("lender", "evidence", "export", case, "-o", later, "--unanchored", "--no-documents", *SUIT)


def test_a_court_that_is_no_member_signs_with_openssl_and_a_certificate(court: Court) -> None:
    network, folder = court.network, court.folder / "to-another"
    case, bundle = opened(court), court.bundle("another.zip", 3_000)
    network.done("lender", "court", "hand-in", case, bundle, "-o", folder, "--court-name", "上海金融法院")
    form = folder / "answer.txt"
    form.write_text(form.read_text().replace("YYYY-MM-DD", "2026-11-24"))
    certificate, other = court.folder / "court.pem", court.folder / "stranger.pem"
    openssl("cms", "-sign", "-binary", "-in", form, "-signer", certificate, "-inkey", certificate.with_suffix(".key"),
            "-outform", "DER", "-out", folder / "answer.txt.sig")  # fmt: skip
    for root, code in ((other, 6), (certificate, 0)):
        trust = court.folder / "trust.json"
        trust.write_text(f'{{"ca_roots": ["{root.name}"]}}')
        done = network.tally("lender", "court", "take-back", case, form, "--trust", trust, "--json")
        assert done.code == code, done.out + done.err
    assert done.json["state"] == "acknowledged"
    assert "CN=court" in done.json["signed_by"]
    bare = network.tally("lender", "court", "take-back", case, form, "--json")
    assert bare.json["error"]["code"] == "CERTIFICATE_NEEDED"
    network.done("lender", "court", "withdraw", case, "paid")


def test_what_is_no_bundle_or_no_case_is_refused_before_anything_is_sent(court: Court) -> None:
    network = court.network
    case = opened(court)
    with court.client("lender") as client:
        before = client.state("consortium", "court", "case", bytes.fromhex(case))
    junk = court.folder / "junk.zip"
    junk.write_bytes(b"PK no bundle")
    occupied = court.folder / "occupied"
    occupied.mkdir()
    (occupied / "file").touch()
    good = court.bundle("good.zip", 10)
    for words, code in (
        (("hand-in", case, junk, "-o", court.folder / "new", "--court", "court"), 2),
        (("file", case, junk, "--court", "court"), 2),
        (("hand-in", case, good, "-o", occupied, "--court", "court"), 2),
        (("hand-in", case, good, "-o", court.folder / "new"), 2),
        (("fetch", case, "-o", court.folder / "none.zip"), 3),
        (("file", "00" * 32, good, "--court", "court"), 3),
        (("show", "00" * 32), 3),
        (("show", "no-id"), 2),
    ):
        refused = network.tally("lender", "court", *words)
        assert (refused.code, refused.err.count("\n")) == (code, 1), (words, refused)
    with court.client("lender") as client:
        assert client.state("consortium", "court", "case", bytes.fromhex(case)) == before


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def make_certificate(folder: Path, name: str) -> None:
    """A self-signed certificate NAME.pem that may sign documents; its key beside it."""
    path = folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
            "-subj", f"/CN={name}", "-keyout", path.with_suffix(".key"), "-out", path,
            "-addext", "keyUsage=critical,digitalSignature,nonRepudiation,keyCertSign")  # fmt: skip
