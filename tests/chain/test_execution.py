"""Execution: all or nothing for each transaction, metered, in one order, and reading exactly what it may.

Two small contracts stand beside the real ones for the length of a test, so that every outcome can be provoked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chain import execution, merkle
from chain.block import CONSORTIUM, Receipt
from chain.codec import encode
from chain.crypto import SigningKey
from chain.ledger import Ledger
from chain.state import StateError
from chain.store import MemoryStore, StoreError
from chain.transaction import Transaction, batch_args
from contracts.catalog import CONTRACTS, Contract
from contracts.context import Args, Context, Value
from contracts.errors import ContractError
from tests.chain.chain_builder import Consortium, commit, document_of, record, vote_in

Script = Callable[[Context, Args], Value]


class Probe:
    """Runs one piece of code as a contract method on a chain, and another as the hook of a block."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **parameters: int) -> None:
        self.scripts: dict[str, Script] = {}
        self.hook: Callable[[Context], None] = lambda _ctx: None
        run = {"run": lambda ctx, args: self.scripts[args["script"]](ctx, args)}
        for name, kind in (("probe", "member"), ("survey", "consortium")):
            hook = None if kind == "member" else lambda ctx: self.hook(ctx)
            monkeypatch.setitem(CONTRACTS, (name, 1), Contract(name, 1, kind, run, hook))  # type: ignore[arg-type]
            # (the kind is a literal, which a loop variable is not)
        document = document_of("test", **parameters)
        document["contracts"] |= {"probe": 1, "survey": 1}
        self.consortium = Consortium(document=document)

    def call(self, chain: str, script: Script, **args: Any) -> Transaction:
        """A transaction that runs a script on a chain, signed by the chain's member."""
        name = f"script {len(self.scripts)}"
        self.scripts[name] = script
        contract = "survey" if chain == CONSORTIUM else "probe"
        signer = self.consortium.signer("erp" if chain == CONSORTIUM else chain)
        return self.consortium.make(chain, f"{contract}.run", {"script": name, **args}, [signer])

    def seal(self, *transactions: Transaction) -> list[Receipt]:
        """Seal a block; the receipts in the order of the transactions."""
        block = self.consortium.seal(*transactions)
        listed = self.consortium.ledger.receipts(block.height)
        by_id = {receipt.tx_id: receipt for receipts in listed.values() for receipt in receipts}
        return [by_id[transaction.id] for transaction in transactions]

    def hook_receipt(self) -> Receipt:
        """The hooks' receipt of the newest block."""
        return self.consortium.ledger.receipts(self.consortium.ledger.height)[CONSORTIUM][0]

    def value(self, chain: str, *key: str | int | bytes) -> Any:
        """The state under a probe's key."""
        contract = "survey" if chain == CONSORTIUM else "probe"
        return self.consortium.ledger.state(chain, encode([contract, *key]))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    return Probe(monkeypatch)


def put(key: str, value: Any) -> Script:
    return lambda ctx, _args: ctx.put(key, value=value)


def refuse(ctx: Context, _args: Args) -> Value:
    """Writes, emits, and then refuses."""
    ctx.put("a", value="lost")
    ctx.put("b", value="lost")
    ctx.delete("kept")
    ctx.emit("lost", {})
    raise ContractError("NOT_SO", "do it otherwise")


CHAINS = pytest.mark.parametrize("chain", ["erp", CONSORTIUM])


# -- all or nothing ---------------------------------------------------------------------------------------


@CHAINS
def test_a_refusal_undoes_all_of_its_transaction_and_nothing_else(probe: Probe, chain: str) -> None:
    receipts = probe.seal(
        probe.call(chain, put("kept", 1)),
        probe.call(chain, refuse),
        probe.call(chain, lambda ctx, _args: [ctx.get("a"), ctx.get("kept")]),
        probe.call(chain, put("after", 2)),
    )
    assert [receipt.status for receipt in receipts] == [0, 1, 0, 0]
    failed = receipts[1]
    assert (failed.code, failed.message, failed.result, failed.events) == ("NOT_SO", "do it otherwise", None, [])
    assert failed.charged > 0
    assert receipts[2].result == [None, 1]
    assert [probe.value(chain, key) for key in ("kept", "a", "b", "after")] == [1, None, None, 2]


@CHAINS
def test_a_refused_transaction_leaves_the_state_root_alone(probe: Probe, chain: str) -> None:
    probe.seal(probe.call(chain, put("kept", 1)))
    root = probe.consortium.ledger.tree(chain).root
    probe.seal(probe.call(chain, refuse), probe.call(chain, refuse))
    assert probe.consortium.ledger.tree(chain).root == root


@CHAINS
def test_what_is_put_as_canonical_is_the_same_state_and_the_last_put_counts(probe: Probe, chain: str) -> None:
    value = {"a": [1, None, "text", bytes(32)], "b": {"x": True, "y": []}}

    def canonical(ctx: Context, _args: Args) -> Value:
        ctx.put_canonical("one", value=value)
        ctx.put_canonical("two", value=value)
        ctx.put("two", value={"z": 1, "a": 2})  # not in order: encoded as any other value
        ctx.put("three", value={"z": 1})
        ctx.put_canonical("three", value=value)
        ctx.put_canonical("four", value=value)
        ctx.delete("four")
        return [ctx.get("one"), ctx.get("four")]

    [receipt] = probe.seal(probe.call(chain, canonical))
    assert (receipt.status, receipt.result) == (0, [value, None])
    assert [probe.value(chain, key) for key in ("one", "two", "three", "four")] == [
        value,
        {"a": 2, "z": 1},
        value,
        None,
    ]


def fails_with(error: type[Exception]) -> Script:
    def script(ctx: Context, _args: Args) -> Value:
        ctx.put("a", value="lost")
        raise error

    return script


def emits(name: Any, data: Any) -> Script:
    def script(ctx: Context, _args: Args) -> None:
        ctx.put("a", value="lost")
        ctx.emit(name, data)

    return script


FAULTS: dict[str, Script] = {
    "division by zero": fails_with(ZeroDivisionError),
    "missing key": lambda _ctx, args: args["missing"],
    "missing item": lambda _ctx, _args: [][0],
    "wrong type": lambda _ctx, _args: 1 + "a",  # type: ignore[operator]
    "no such attribute": lambda ctx, _args: ctx.nothing,  # type: ignore[attr-defined]
    "not a number": lambda _ctx, _args: int("many"),
    "assertion": fails_with(AssertionError),
    "runtime error": fails_with(RuntimeError),
    "end of an iterator": lambda _ctx, _args: next(iter([])),
    "a float as a result": lambda _ctx, _args: 0.5,
    "a float in state": put("a", 0.5),
    "a float deep in state": put("a", {"b": [1, {"c": 0.5}]}),
    "a float in a key": lambda ctx, _args: ctx.put(0.5, value=1),  # type: ignore[arg-type]
    "a float in an event": emits("event", {"a": 0.5}),
    "an event that is no map": emits("event", [1]),
    "an event whose name is bytes": emits(b"event", {}),
    "an integer too large": put("a", 2**63),
    "a set in state": put("a", {1, 2}),
}


@CHAINS
@pytest.mark.parametrize("name", FAULTS)
def test_a_contracts_own_fault_is_a_failed_receipt(probe: Probe, chain: str, name: str) -> None:
    receipts = probe.seal(probe.call(chain, FAULTS[name]), probe.call(chain, put("after", 1)))
    assert [receipt.status for receipt in receipts] == [1, 0]
    assert receipts[0].code == "CONTRACT_FAULT"
    assert (receipts[0].result, receipts[0].events) == (None, [])
    assert "\n" not in receipts[0].message
    assert [probe.value(chain, key) for key in ("a", "after")] == [None, 1]


@pytest.mark.parametrize("error", [StoreError, StateError, MemoryError])
def test_this_nodes_own_trouble_is_no_outcome(probe: Probe, error: type[Exception]) -> None:
    """A failed read of the disk is not the transaction's fault: no receipt may come of it, the node must stop."""
    for chain in ("erp", CONSORTIUM):
        with pytest.raises(error):
            probe.consortium.build(probe.call(chain, fails_with(error)))

    def hook(_ctx: Context) -> None:
        raise error

    probe.hook = hook
    with pytest.raises(error):
        probe.consortium.build()


# -- metering ---------------------------------------------------------------------------------------------


def loop(action: Callable[[Context, int], Any]) -> Script:
    def script(ctx: Context, _args: Args) -> None:
        ctx.put("a", value="lost")
        for step in range(100_000):
            action(ctx, step)

    return script


ENDLESS: dict[str, Callable[[Context, int], Any]] = {
    "get": lambda ctx, step: ctx.get(step),
    "put": lambda ctx, step: ctx.put(step, value=None),
    "delete": lambda ctx, step: ctx.delete(step),
    "read": lambda ctx, step: ctx.read(CONSORTIUM, "gov", step),
    "charge": lambda ctx, _step: ctx.charge(1),
}


@CHAINS
@pytest.mark.parametrize("name", ENDLESS)
def test_work_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch, chain: str, name: str) -> None:
    probe = Probe(monkeypatch, max_charge=10_000)
    receipts = probe.seal(probe.call(chain, loop(ENDLESS[name])), probe.call(chain, put("after", 1)))
    assert [(receipt.status, receipt.code) for receipt in receipts] == [(1, "OVER_BUDGET"), (0, "")]
    assert receipts[0].charged == 10_000, "what is charged is never more than the limit"
    assert probe.value(chain, "a") is None


def test_bytes_written_are_metered(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(monkeypatch, max_charge=10_000)
    small, large = probe.seal(
        probe.call("erp", put("a", bytes(64 * 9_000))), probe.call("erp", put("b", bytes(64 * 10_000)))
    )
    assert (small.status, small.charged // 100) == (0, 90)
    assert (large.status, large.code) == (1, "OVER_BUDGET")


def test_records_are_metered(probe: Probe) -> None:
    batch = [record(f"D-{index}") for index in range(50)]
    script = "count"
    probe.scripts[script] = lambda ctx, _args: len(ctx.records)
    args = {"script": script, **batch_args(batch)}
    with_records = probe.consortium.make("erp", "probe.run", args, [probe.consortium.signer("erp")], batch)
    one, many = probe.seal(probe.call("erp", lambda ctx, _args: len(ctx.records)), with_records)
    assert (one.result, many.result) == (0, 50)
    assert many.charged - one.charged >= 50


def test_the_limit_is_the_consortiums_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(monkeypatch, max_charge=20_000)
    within, beyond = probe.seal(
        probe.call("erp", lambda ctx, _args: ctx.charge(20_000)),
        probe.call("erp", lambda ctx, _args: ctx.charge(20_001)),
    )
    assert (within.status, within.charged) == (0, 20_000)
    assert (beyond.status, beyond.charged) == (1, 20_000)


def test_results_and_events_are_bounded(probe: Probe) -> None:
    def too_large(ctx: Context, _args: Args) -> Value:
        ctx.put("a", value=1)
        return bytes(execution.MAX_RESULT_SIZE)

    def many(ctx: Context, _args: Args) -> None:
        for number in range(execution.MAX_EVENTS + 1):
            ctx.emit("event", {"number": number})

    large, larger, events = probe.seal(
        probe.call("erp", lambda _ctx, _args: bytes(execution.MAX_RESULT_SIZE - 200)),
        probe.call("erp", too_large),
        probe.call("erp", many),
    )
    assert large.status == 0
    assert (larger.status, larger.code, larger.result) == (1, "RESULT_TOO_LARGE", None)
    assert (events.status, events.code) == (1, "TOO_MANY_EVENTS")
    assert probe.value("erp", "a") is None


# -- contracts and methods --------------------------------------------------------------------------------


def test_what_no_chain_runs(probe: Probe) -> None:
    consortium = probe.consortium
    key = [consortium.signer("erp")]
    receipts = probe.seal(
        consortium.make("erp", "registry.register_party", {}, key),
        consortium.make("erp", "nothing.run", {}, key),
        consortium.make("erp", "records.nothing", {}, key),
        consortium.make(CONSORTIUM, "records.submit", {}, key),
        consortium.make(CONSORTIUM, "probe.run", {}, key),
        consortium.make(CONSORTIUM, "gov.__class__", {}, key),
    )
    assert [receipt.code for receipt in receipts] == [
        "UNKNOWN_CONTRACT", "UNKNOWN_CONTRACT", "UNKNOWN_METHOD", "UNKNOWN_CONTRACT", "UNKNOWN_CONTRACT",
        "UNKNOWN_METHOD",
    ]  # fmt: skip
    assert {receipt.status for receipt in receipts} == {1}


def test_a_record_that_is_not_canonical_fails_its_transaction(probe: Probe) -> None:
    consortium = probe.consortium
    for bad in (b"\xc1", record("D-1") + b"\x00", encode([[[[[[[[1]]]]]]]]), b""):
        batch = [record("D-0"), bad]
        wire = consortium.make("erp", "records.submit", batch_args(batch), [consortium.signer("erp")], batch)
        (receipt,) = probe.seal(wire)
        assert (receipt.status, receipt.code) == (1, "MALFORMED_RECORD")
    assert consortium.ledger.member_block("erp", 1).tx_count == 1


def test_a_record_of_very_many_values_is_refused_before_it_is_read(probe: Probe) -> None:
    """Half a megabyte of empty arrays would hold every replica up for 0.4 s; the longest paper has some thousands."""
    consortium = probe.consortium
    bad = encode([[] for _ in range(execution.MAX_RECORD_VALUES + 1)])
    wire = consortium.make("erp", "records.submit", batch_args([bad]), [consortium.signer("erp")], [bad])
    (receipt,) = probe.seal(wire)
    assert (receipt.status, receipt.code) == (1, "MALFORMED_RECORD")
    assert str(execution.MAX_RECORD_VALUES) in receipt.message


def test_a_new_version_of_a_contract_runs_from_its_height_on(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old blocks replay under the version of their time, in a ledger that executes them afresh."""
    two: dict[str, Any] = {"run": lambda ctx, _args: ctx.put("a", value="version 2")}
    monkeypatch.setitem(CONTRACTS, ("probe", 2), Contract("probe", 2, "member", two))
    consortium = probe.consortium
    from_height = 6
    change = {"kind": "contract", "name": "probe", "version": 2, "from_height": from_height}
    vote_in(consortium, change)
    replica = Ledger.create(MemoryStore(), consortium.document)
    seen = {}
    while consortium.ledger.height < 7:
        probe.seal(probe.call("erp", put("a", "version 1")))
        seen[consortium.ledger.height] = probe.value("erp", "a")
    assert seen == {3: "version 1", 4: "version 1", 5: "version 1", 6: "version 2", 7: "version 2"}
    for height in range(1, 8):
        certificate = consortium.ledger.certificate(height)
        assert certificate is not None
        commit(replica, consortium.ledger.block(height), certificate)
    assert replica.head == consortium.ledger.head


# -- what a transaction sees ------------------------------------------------------------------------------


def test_a_transaction_knows_its_place(probe: Probe) -> None:
    def place(ctx: Context, _args: Args) -> Value:
        return [ctx.network_id, ctx.chain, ctx.height, ctx.time, ctx.tx_id, list(ctx.signers), list(ctx.chains())]

    for chain in ("erp", CONSORTIUM):
        call = probe.call(chain, place)
        (receipt,) = probe.seal(call)
        ledger = probe.consortium.ledger
        assert receipt.result == [
            ledger.network_id, chain, ledger.height, ledger.head.time, call.id, list(call.signers),
            list(ledger.chains),
        ]  # fmt: skip


def test_the_parent_is_the_consortium_block_before(probe: Probe) -> None:
    seen: list[bytes] = []
    probe.hook = lambda ctx: seen.append(ctx.parent_hash)
    for chain in ("erp", CONSORTIUM):
        parent = probe.consortium.ledger.head.digest
        (receipt,) = probe.seal(probe.call(chain, lambda ctx, _args: ctx.parent_hash))
        assert receipt.result == parent
        assert set(seen[-2:]) == {parent}, "built and executed"


def test_while_genesis_is_written_there_is_no_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    founding = Contract("founding", 1, "consortium", {}, None, lambda ctx, _doc: seen.append(ctx.parent_hash))
    monkeypatch.setitem(CONTRACTS, ("founding", 1), founding)
    document = document_of()
    document["contracts"] |= {"founding": 1}
    Consortium(document=document)
    assert seen == [b""]


def test_a_contract_checks_merkle_paths_and_reads_canonical_bytes(probe: Probe) -> None:
    leaves = [encode(["leaf", number]) for number in range(5)]
    root = merkle.root(leaves)

    def check(ctx: Context, _args: Args) -> Value:
        right = [ctx.verify_path(root, leaf, at, 5, merkle.prove(leaves, at)) for at, leaf in enumerate(leaves)]
        wrong = [
            ctx.verify_path(root, leaves[0], 1, 5, merkle.prove(leaves, 1)),
            ctx.verify_path(root, b"", 9, 5, []),
        ]
        return [right, wrong, [ctx.decode(leaf) for leaf in leaves]]

    (done,) = probe.seal(probe.call("erp", check))
    assert done.result == [[True] * 5, [False] * 2, [["leaf", number] for number in range(5)]]
    for bad in (b"", b"\xc1", encode([1]) + b"\x00"):
        (refused,) = probe.seal(probe.call("erp", lambda ctx, _args, bad=bad: ctx.decode(bad)))  # type: ignore[misc]
        assert refused.code == "NOT_CANONICAL"


@CHAINS
def test_a_transaction_reads_what_it_and_those_before_it_wrote(probe: Probe, chain: str) -> None:
    name = "survey" if chain == CONSORTIUM else "probe"

    def both(ctx: Context, _args: Args) -> Value:
        before = [ctx.get("a"), ctx.read(chain, name, "a")]
        ctx.put("a", value=2)
        during = [ctx.get("a"), ctx.read(chain, name, "a")]
        ctx.delete("a")
        return [before, during, [ctx.get("a"), ctx.read(chain, name, "a")]]

    receipts = probe.seal(
        probe.call(chain, put("a", 1)), probe.call(chain, both), probe.call(chain, lambda ctx, _args: ctx.get("a"))
    )
    assert receipts[1].result == [[1, 1], [2, 2], [None, None]]
    assert receipts[2].result is None
    assert probe.value(chain, "a") is None


def test_each_contract_writes_its_own_keys_only(probe: Probe) -> None:
    probe.seal(probe.call(CONSORTIUM, put("parameters", {"t0_ms": 1})))
    assert probe.consortium.ledger.parameters["t0_ms"] != 1
    assert probe.value(CONSORTIUM, "parameters") == {"t0_ms": 1}


def test_a_member_reads_the_consortium_as_of_the_block_before(probe: Probe) -> None:
    def look(ctx: Context, _args: Args) -> Value:
        return ctx.read(CONSORTIUM, "survey", "a")

    probe.seal(probe.call(CONSORTIUM, put("a", "old")))
    during, _ = probe.seal(probe.call("erp", look), probe.call(CONSORTIUM, put("a", "new")))
    (after,) = probe.seal(probe.call("erp", look))
    assert (during.result, after.result) == ("old", "new")


def test_the_consortium_reads_every_chain_with_this_blocks_writes(probe: Probe) -> None:
    def look(ctx: Context, _args: Args) -> Value:
        return {chain: ctx.read(chain, "probe", "a") for chain in ctx.chains()}

    probe.seal(probe.call("erp", put("a", "old")), probe.call("lender", put("a", "kept")))
    during, *_ = probe.seal(
        probe.call(CONSORTIUM, look), probe.call("erp", put("a", "new")), probe.call("guarantor", put("a", "first"))
    )
    assert during.result == {
        "erp": "new", "guarantor": "first", "lender": "kept", "office": None, "procurement": None,
    }  # fmt: skip


def test_what_a_failed_member_transaction_wrote_is_not_read(probe: Probe) -> None:
    seen, _ = probe.seal(
        probe.call(CONSORTIUM, lambda ctx, _args: ctx.read("erp", "probe", "a")), probe.call("erp", refuse)
    )
    assert seen.result is None


def test_a_member_reads_no_other_business_chain(probe: Probe) -> None:
    probe.seal(probe.call("lender", put("a", 1)))
    probe.scripts["look"] = lambda ctx, args: ctx.read(args["at"], "probe", "a")
    for chain in ("lender", "nobody", ""):
        look = probe.consortium.make(
            "erp", "probe.run", {"script": "look", "at": chain}, [probe.consortium.signer("erp")]
        )
        (receipt,) = probe.seal(look)
        assert (receipt.status, receipt.code) == (1, "NOT_READABLE")


def test_heads_are_as_old_as_what_is_read(probe: Probe) -> None:
    def heads(ctx: Context, _args: Args) -> Value:
        return [list(ctx.head(chain)) for chain in ("erp", "lender")]

    probe.seal(probe.call("erp", put("a", 1)))
    ledger = probe.consortium.ledger
    before = [
        [head.height, head.hash, head.state_root] for head in ledger.heads(1) if head.chain in ("erp", "lender")
    ]
    member, shared, _ = probe.seal(
        probe.call("erp", heads), probe.call(CONSORTIUM, heads), probe.call("lender", put("a", 1))
    )
    after = [[head.height, head.hash, head.state_root] for head in ledger.heads(2) if head.chain in ("erp", "lender")]
    assert (member.result, shared.result) == (before, after)
    (unknown,) = probe.seal(probe.call("erp", lambda ctx, _args: ctx.head("nobody")))
    assert unknown.code == "UNKNOWN_CHAIN"


# -- hooks ------------------------------------------------------------------------------------------------


def test_the_hooks_have_the_first_receipt_of_every_block(probe: Probe) -> None:
    def hook(ctx: Context) -> None:
        ctx.put("seen", value=[ctx.height, ctx.time, ctx.tx_id, list(ctx.signers), ctx.read("erp", "probe", "a")])
        ctx.emit("hooked", {"height": ctx.height})

    probe.hook = hook
    (receipt,) = probe.seal(probe.call("erp", put("a", 1)))
    head = probe.consortium.ledger.head
    assert receipt.status == 0
    assert probe.value(CONSORTIUM, "seen") == [1, head.time, b"", [], 1], "hooks read this block's member writes"
    first = probe.hook_receipt()
    assert (first.tx_id, first.status, first.events) == (bytes(32), 0, [["hooked", {"height": 1}]])
    probe.seal()
    assert probe.hook_receipt().events == [["hooked", {"height": 2}]]
    assert probe.consortium.ledger.head.tx_count == 0, "a hook is no transaction"


def test_hooks_run_before_the_transactions_of_the_consortium(probe: Probe) -> None:
    probe.hook = lambda ctx: ctx.put("a", value=[*(ctx.get("a") or []), "hook"])
    (receipt,) = probe.seal(probe.call(CONSORTIUM, lambda ctx, _args: ctx.get("a")))
    assert receipt.result == ["hook"]


def bad_hooks() -> Iterator[tuple[str, Callable[[Context], Any]]]:
    def refuses(ctx: Context) -> None:
        ctx.put("a", value="lost")
        ctx.emit("lost", {})
        raise ContractError("NOT_SO", "do it otherwise")

    def faults(ctx: Context) -> None:
        ctx.put("a", value="lost")
        ctx.emit("lost", {})
        raise KeyError("a")

    def writes_a_float(ctx: Context) -> None:
        ctx.put("a", value=0.5)

    def emits_a_float(ctx: Context) -> None:
        ctx.put("a", value="lost")
        ctx.emit("lost", {"a": 0.5})

    def never_ends(ctx: Context) -> None:
        ctx.put("a", value="lost")
        while True:
            ctx.get("b")

    def emits_much(ctx: Context) -> None:
        ctx.put("a", value="lost")
        for number in range(execution.MAX_EVENTS + 1):
            ctx.emit("lost", {"number": number})

    yield from (
        (hook.__name__, hook) for hook in (refuses, faults, writes_a_float, emits_a_float, never_ends, emits_much)
    )


@pytest.mark.parametrize(("name", "hook"), list(bad_hooks()))
def test_a_hook_that_fails_is_undone_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, hook: Callable[[Context], Any]
) -> None:
    """The block goes on: other hooks, its transactions, and the blocks after it."""
    probe = Probe(monkeypatch, max_charge=10_000)
    probe.hook = hook
    (receipt,) = probe.seal(probe.call(CONSORTIUM, put("after", 1)))
    failed = probe.hook_receipt()
    assert (failed.status, failed.code) == (1, "HOOK_FAILED"), name
    assert "survey" in failed.message
    assert "\n" not in failed.message
    assert failed.events == []
    assert (receipt.status, probe.value(CONSORTIUM, "a"), probe.value(CONSORTIUM, "after")) == (0, None, 1)
    probe.hook = lambda ctx: ctx.put("a", value="well")
    probe.seal()
    assert probe.hook_receipt().status == 0
    assert probe.value(CONSORTIUM, "a") == "well"


def test_a_failing_hook_does_not_keep_validators_from_changing(probe: Probe) -> None:
    """gov's hook has its own fate: an epoch starts although another contract's hook fails in that block."""
    members = ["erp", "guarantor", "lender"]
    rows = [[member, probe.consortium.key(member, "validator").public] for member in members]
    vote_in(probe.consortium, {"kind": "validators", "set": rows})

    def hook(_ctx: Context) -> None:
        raise ContractError("NOT_SO", "do it otherwise")

    probe.hook = hook
    probe.seal()
    probe.seal()
    receipt = probe.hook_receipt()
    assert receipt.code == "HOOK_FAILED"
    assert [name for name, _ in receipt.events] == ["epoch_started"]
    assert probe.consortium.ledger.head.epoch == 1


def test_a_contract_checks_signatures_that_are_no_transactions(probe: Probe) -> None:
    key = SigningKey(b"p" * 32)
    signature = key.sign(b"paper")

    def check(ctx: Context, _args: Args) -> Value:
        right = ctx.verify_signature(key.public, b"paper", signature)
        wrong = [
            ctx.verify_signature(key.public, b"other", signature),
            ctx.verify_signature(bytes(32), b"paper", signature),
            ctx.verify_signature(key.public, b"paper", signature[:-1]),
            ctx.verify_signature(b"short", b"paper", signature),
        ]
        return [right, wrong]

    (done,) = probe.seal(probe.call("erp", check))
    assert done.result == [True, [False] * 4]
