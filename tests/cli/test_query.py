"""``tally query`` against a network that runs: lists by pages, the past, and proofs that stand without a node."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from chain.codec import encode
from chain.crypto import sha256
from cli.errors import CliError
from cli.listing import time_ms

ENTERPRISE = "GB-COH:77700217"  # nobody else's: the network serves other tests too


def invoice(number: str, total: str = "120.00", corrects: bytes | None = None) -> bytes:
    source = ["test", "test", "1", bytes(32), 1]
    fields = {"issue_date": "2025-05-01", "currency": "GBP", "total": total}
    return encode(
        ["tally/record", 1, "invoice", ENTERPRISE, number, ENTERPRISE, "GB-COH:99900101", "general-trade", 1,
         "2025-05-01", [["order", "", "PO-1"]], source, fields, None, corrects]
    )  # fmt: skip


class Sealed:
    """What was sealed on a network: five invoices Q-0 to Q-4 in five blocks, Q-0 corrected twice."""

    def __init__(self, network: Any) -> None:
        from chain import keys
        from tallystick import Client

        self.network = network
        self.ids: dict[str, list[str]] = {}
        self.heights: list[int] = []
        self.txs: list[str] = []
        key = keys.load(network.home / "erp/keys/signer.json", "correct horse")
        with Client(network.nodes.nodes["erp"].api) as client:
            for number in range(5):
                self._seal(client, key, f"Q-{number}", invoice(f"Q-{number}"))
            for total in ("121.00", "122.00"):
                before = bytes.fromhex(self.ids["Q-0"][-1])
                self._seal(client, key, "Q-0", invoice("Q-0", total, before))

    def _seal(self, client: Any, key: Any, number: str, data: bytes) -> None:
        tx = client.sign(key, chain="erp", contract="records", method="submit", records=[data])
        state = client.submit_and_wait(tx)
        self.ids.setdefault(number, []).append(sha256(data).hex())
        self.heights.append(state["height"])
        self.txs.append(state["id"])

    def done(self, *arguments: Any) -> Any:
        """A query of the auditor's node, which must have followed by now."""
        return self.network.done("auditor", "query", *arguments)


@pytest.fixture(scope="module")
def sealed(network: Any) -> Sealed:
    made = Sealed(network)
    for _ in range(200):
        if network.done("auditor", "node", "status")["height"] >= made.heights[-1]:
            return made
        time.sleep(0.1)
    raise AssertionError("the observer does not follow")


def test_times_as_they_are_written() -> None:
    day = 86_400_000
    assert time_ms("1970-01-02", "--from") == day
    assert time_ms("1970-01-02", "--to", end=True) == 2 * day - 1
    assert time_ms("1970-01-02T01:00", "--to", end=True) == day + 3_600_000
    assert time_ms("1970-01-02T01:00:00Z", "--from") == time_ms("1970-01-02T02:00:00+01:00", "--from")
    for text in ("", "yesterday", "12", "2026-13-01", "1969-12-31", "2026-11-24T25:00"):
        with pytest.raises(CliError, match="is no time: write 2026-11-24"):
            time_ms(text, "--from")


@pytest.mark.slow
def test_records_are_listed_by_pages_that_stay(sealed: Sealed) -> None:
    wanted = ("record", "--enterprise", ENTERPRISE, "--chain", "erp", "--from-block", sealed.heights[0])
    whole = sealed.done(*wanted, "--oldest")
    listed = [row["number"] for row in whole["rows"] if row["number"].startswith("Q-")]
    assert listed == ["Q-0", "Q-1", "Q-2", "Q-3", "Q-4", "Q-0", "Q-0"]
    first = sealed.done(*wanted, "--limit", 3)
    sealed.network.done("erp", "party", "register", f"arrives-{time.time_ns()}", "--name", "x")
    second = sealed.done(*wanted, "--limit", 3, "--after", first["next"])
    assert second["began"] == first["began"]
    numbers = [row["id"] for row in first["rows"] + second["rows"]]
    assert numbers == [row["id"] for row in whole["rows"]][::-1][:6]
    assert set(first["rows"][0]) == {
        "chain", "kind", "issuer", "number", "enterprise", "id", "transaction", "height", "time",
    }  # fmt: skip
    of_kind = sealed.done("record", "--kind", "invoice", "--chain", "erp", "--at", sealed.heights[1], "--limit", 2)
    assert [row["number"] for row in of_kind["rows"]] == ["Q-1", "Q-0"]
    assert sealed.done("record", "--kind", "no_such_kind")["rows"] == []
    assert sealed.done("record", "--enterprise", ENTERPRISE, "--to", "2020-01-01")["rows"] == []
    shown = sealed.network.tally("auditor", "query", *wanted, "--limit", 2)
    assert "; more: --after " in shown.out


@pytest.mark.slow
def test_transactions_and_blocks_are_listed(sealed: Sealed) -> None:
    found = sealed.done("tx", "--chain", "erp", "--method", "records.submit", "--from-block", sealed.heights[0])
    assert [row["id"] for row in found["rows"]][:7] == sealed.txs[::-1]
    assert {row["status"] for row in found["rows"][:7]} == {0}
    begin = sealed.done("block", sealed.heights[2])["time"]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin / 1000 - 1))
    blocks = sealed.done("block", "--from", when, "--at", sealed.heights[-1], "--oldest", "--limit", 500)["rows"]
    assert sealed.heights[2] in [row["height"] for row in blocks]
    assert all(row["time"] >= begin - 2_000 for row in blocks)
    assert [row["height"] for row in blocks] == list(range(blocks[0]["height"], sealed.heights[-1] + 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("record", "--kind", "invoice", "--after", "nonsense"), 3, "CURSOR"),
        (("record", "--kind", "invoice", "--at", "9999999"), 3, "NOT_KEPT"),
        (("record", "--kind", "invoice", "--from", "soon"), 2, "is no time"),
        (("record", "--kind", "invoice", "--prove"), 2, "a list is not proved"),
        (("record", "--issuer", "x"), 2, "--issuer goes with KIND NUMBER"),
        (("record", "invoice", "Q-1", "--oldest"), 2, "names one record"),
        (("record", "--chain", "nobody"), 3, "there is no chain 'nobody'"),
        (("record", "invoice", "NONE", "--prove", "-o", "x"), 3, "to prove that there is none, give --issuer"),
        (("tx", "00" * 32, "--oldest"), 2, "names one transaction"),
        (("tx", "00" * 32, "--prove", "-o", "x"), 3, "nothing to prove"),
        (("block", "1", "--oldest"), 2, "names one block"),
        (("state", "consortium", "gov", "parameters", "--after", "x"), 2, "add --history"),
        (("chains", "--at", "9999999"), 3, "NOT_KEPT"),
        (("history", "invoice", "NONE"), 3, "no chain has invoice NONE"),
        (("record", "--kind", "invoice", "--limit", "501"), 2, "--limit"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_line(
    sealed: Sealed, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = sealed.network.tally("auditor", "query", *arguments)
    assert (done.code, done.err.count("\n")) == (code, 1), done.err
    assert said in done.err


@pytest.mark.slow
def test_a_cursor_of_another_list_is_refused(sealed: Sealed) -> None:
    page = sealed.done("record", "--kind", "invoice", "--chain", "erp", "--limit", 2)
    other = sealed.network.tally("auditor", "query", "record", "--kind", "order", "--after", page["next"])
    assert (other.code, "CURSOR" in other.err, "of another list" in other.err) == (3, True, True)


@pytest.mark.slow
def test_the_past_is_as_it_was(sealed: Sealed) -> None:
    for count, height in ((1, sealed.heights[0]), (1, sealed.heights[4]), (2, sealed.heights[5])):
        [record] = sealed.done("record", "invoice", "Q-0", "--chain", "erp", "--at", height)
        assert record["id"] == sealed.ids["Q-0"][count - 1]
        history = sealed.done("history", "invoice", "Q-0", "--chain", "erp", "--at", height)
        assert [row["id"] for row in history["rows"]] == sealed.ids["Q-0"][:count][::-1]
    history = sealed.done("history", "invoice", "Q-0", "--chain", "erp")
    assert [(row["version"], row["changed"]) for row in history["rows"]] == [
        (3, ["total"]), (2, ["total"]), (1, ["first version"]),
    ]  # fmt: skip
    page = sealed.done("history", "invoice", "Q-0", "--chain", "erp", "--limit", 2)
    rest = sealed.done("history", "invoice", "Q-0", "--chain", "erp", "--limit", 2, "--after", page["next"])
    assert [*page["rows"], *rest["rows"]] == history["rows"]
    heads = {row["chain"]: row["height"] for row in sealed.done("chains", "--at", sealed.heights[0])}
    later = {row["chain"]: row["height"] for row in sealed.done("chains", "--at", sealed.heights[4])}
    assert later["erp"] - heads["erp"] == 4
    assert sealed.done("members", "--at", sealed.heights[0]) == sealed.done("members")
    held = sealed.done("state", "erp", "records", "record", "invoice", ENTERPRISE, "Q-0", "--history")
    assert [row["value"]["id"] for row in held["rows"]] == sealed.ids["Q-0"][::-1]
    old = sealed.done("record", sealed.ids["Q-0"][0])
    assert [(row["id"], row["superseded"]) for row in old] == [(sealed.ids["Q-0"][0], [])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "proofs", "said"),
    [
        (("record", "invoice", "Q-1", "--chain", "erp"), 1, "stood on the chain of erp"),
        (("record", "invoice", "Q-0", "--chain", "erp", "--at", "{0}"), 1, "was in force on the chain of erp"),
        (("record", "invoice", "NONE", "--issuer", ENTERPRISE, "--chain", "erp"), 1, "had no entry"),
        (("record", "invoice", "Q-4", "--issuer", ENTERPRISE, "--chain", "erp", "--at", "{0}"), 1, "had no entry"),
        (("history", "invoice", "Q-0", "--chain", "erp"), 3, "all 3 proofs stand"),
        (("state", "erp", "records", "record", "invoice", ENTERPRISE, "Q-0", "--history"), 3, "was in force"),
        (("state", "consortium", "gov", "parameters", "--at", "{0}"), 1, "had this entry"),
        (("record", "{id}", "--chain", "erp", "--at", "{last}"), 1, "stood on the chain of erp"),
        (("chains",), 0, "The chain of erp stood at this block"),
        (("chains", "--at", "{0}"), 0, "The chain of auditor stood at this block"),
        (("members",), 6, "had this entry registry member auditor"),
        (("block", "{0}"), 1, "The chain of consortium stood at this block"),
        (("tx", "{tx}"), 1, "records.submit"),
    ],
)
def test_every_proof_stands_without_a_node(
    sealed: Sealed, tally: Any, tmp_path: Path, arguments: tuple[str, ...], proofs: int, said: str
) -> None:
    names = {"tx": sealed.txs[0], "id": sealed.ids["Q-0"][0], "last": sealed.heights[-1]}
    filled = [text.format(sealed.heights[0], **names) for text in arguments]
    proof = tmp_path / "proof"
    done = sealed.network.tally("auditor", "query", *filled, "--prove", "-o", proof)
    assert done.code == 0, done.err
    checked = tally("verify", proof, "--genesis", sealed.network.genesis, "--json")
    assert checked.code == 0, checked.err
    chains = len(sealed.network.done("auditor", "query", *filled)) if filled[0] == "chains" else proofs
    assert len(checked.json["proofs"]) == chains
    assert said in tally("verify", proof, "--genesis", sealed.network.genesis).out
    assert tally("verify", proof, "--genesis", "00" * 32).code == 6


@pytest.mark.slow
def test_a_pruned_node_says_pruned_and_never_another_value(sealed: Sealed, tally: Any, tmp_path: Path) -> None:
    network, low, mark = sealed.network, sealed.heights[0], sealed.heights[4]
    node = network.nodes.nodes["auditor"]
    running = tally("node", "prune", node.folder, "--below", mark, "--json")
    assert (running.code, running.json["error"]["code"]) == (2, "NODE_RUNS")
    network.nodes.stop("auditor")
    try:
        wrong = tally("node", "prune", node.folder, "--below", 10**9, "--json")
        assert (wrong.code, wrong.json["error"]["code"]) == (2, "CANNOT_PRUNE")
        done = tally("node", "prune", node.folder, "--below", mark, "--json")
        assert done.code == 0, done.err
        assert (done.json["below"], done.json["values"] > 0, done.json["nodes"] > 0) == (mark, True, True)
    finally:
        network.nodes.start("auditor")
        network.nodes.wait_ready()
    key = ("records", "record", "invoice", ENTERPRISE, "Q-0")
    for arguments in (
        ("record", "invoice", "Q-0", "--at", low),
        ("state", "erp", *key, "--at", low),
        ("state", "erp", *key, "--at", low, "--prove", "-o", tmp_path / "p"),
        ("state", "erp", *key, "--at", low, "--history"),
        ("history", "invoice", "Q-0", "--at", low),
        ("members", "--at", low),
    ):
        refused = network.tally("auditor", "query", *arguments, "--json")
        assert (refused.code, refused.json["error"]["code"]) == (3, "PRUNED"), refused.err
        assert f"keeps that of block {mark} and later" in refused.err
    held = sealed.done("state", "erp", *key, "--history")
    assert (held["pruned_below"], [row["value"]["id"] for row in held["rows"]]) == (mark, sealed.ids["Q-0"][::-1])
    assert len(sealed.done("history", "invoice", "Q-0", "--chain", "erp")["rows"]) == 3
    for proved in (
        ("record", "invoice", "Q-0", "--chain", "erp", "--at", mark),
        ("history", "invoice", "Q-0", "--chain", "erp"),
        ("chains", "--at", low),
        ("tx", sealed.txs[0]),
    ):
        proof = tmp_path / "proof"
        assert network.tally("auditor", "query", *proved, "--prove", "-o", proof).code == 0
        assert tally("verify", proof, "--genesis", network.genesis).code == 0
