"""Bad input against running nodes, at the API and from a member: a one-line error with a code.

Nothing else is disturbed, which is checked each time: the next good transaction is committed, and all have one head.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import httpx
import msgpack
import pytest
import trio

from chain.block import Block
from chain.codec import encode
from chain.crypto import SigningKey, verify
from chain.transaction import MAX_WIRE_SIZE, batch_args, make_body, sign
from consensus import messages as says
from node import config as configuration
from node.bench import sample_record
from node.exchange import MAX_BLOCKS, Blocks, GetBlocks, Transactions, pack
from node.links import MIB, PeerAddress
from node.network import Network
from node.peer import EVIDENCE_FILE
from node.processes import free_ports
from node.queues import Channel, Inbound
from tallystick import TransactionFailedError
from tests.impostor import impersonate, off_thread
from tests.live_network import MEMBERS, Live, wait
from tests.network_harness import MemoryLog, Node

pytestmark = pytest.mark.slow

IMPOSTOR = "procurement"
"""The highest id: the others dial it."""
HONEST = tuple(member for member in MEMBERS if member != IMPOSTOR)
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("bad-input")) as network:
        network.start()
        yield network


@pytest.fixture
def api(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.node("lender").api, trust_env=False, timeout=30) as client:
        yield client


def one_line(answer: httpx.Response, status: int, code: str) -> None:
    """The one form of errors: a code, and one line."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert "\n" not in error["message"]


def still_fine(live: Live) -> None:
    """A good transaction is committed, and every node has it on the same head, with nothing left over."""
    state = live.commit("erp", at="lender")
    assert live.level() >= state["height"]


# ------------------------------------------------------------------------------ transactions


def changed(live: Live, **fields: Any) -> bytes:
    """The wire bytes of a good transaction but for some fields of what is signed."""
    records = [sample_record(77)]
    body: dict[str, Any] = {
        "network_id": live.network_id,
        "chain": "erp",
        "contract": "records",
        "method": "submit",
        "args": batch_args(records),
        "signers": [live.signers["erp"].public],
        "nonce": bytes(16),
        "valid_until": time.time_ns() // 1_000_000 + 600_000,
    } | fields
    key = body.pop("key", live.signers["erp"])
    return sign(make_body(**body), [key], records).wire


def with_signature_of(live: Live, key: SigningKey) -> bytes:
    """erp's transaction, signed by somebody else."""
    good = live.transaction("erp")
    return encode(["tally/wire_tx", 1, good.body, [[1, key.sign(good.body)]], list(good.records)])


def other_record(live: Live) -> bytes:
    good = live.transaction("erp")
    return encode(["tally/wire_tx", 1, good.body, [[1, good.signatures[0]]], [sample_record(78)]])


def long_form(live: Live) -> bytes:
    """The same values, with a length in five bytes where two do: MessagePack, but not the canonical form."""
    wire = live.transaction("erp").wire
    assert wire[0] == 0x95
    return b"\xdd\x00\x00\x00\x05" + wire[1:]


def with_float(live: Live) -> bytes:
    good = live.transaction("erp")
    packed: bytes = msgpack.packb(["tally/wire_tx", 1.0, good.body, [[1, good.signatures[0]]], []], use_bin_type=True)
    return packed


def now() -> int:
    return time.time_ns() // 1_000_000


STRANGER = SigningKey.generate()
TRANSACTIONS: dict[str, tuple[Callable[[Live], bytes], str]] = {
    "empty": (lambda _: b"", "NOT_CANONICAL"),
    "garbage": (lambda _: b"\xc1\xff\x00", "NOT_CANONICAL"),
    "truncated": (lambda live: live.transaction("erp").wire[:-1], "NOT_CANONICAL"),
    "trailing bytes": (lambda live: live.transaction("erp").wire + b"\x00", "NOT_CANONICAL"),
    "longer form of a length": (long_form, "NOT_CANONICAL"),
    "a float": (with_float, "NOT_CANONICAL"),
    "nested too deep": (lambda _: b"\x91" * 100_000 + b"\xc0", "NOT_CANONICAL"),
    "another structure": (lambda _: encode(["tally/other", 1]), "MALFORMED"),
    "oversized": (lambda _: bytes(MAX_WIRE_SIZE + 1), "TOO_LARGE"),
    "wrong network id": (lambda live: changed(live, network_id=bytes(32)), "WRONG_NETWORK"),
    "expired": (lambda live: changed(live, valid_until=now() - 1), "EXPIRED"),
    "valid too long": (lambda live: changed(live, valid_until=now() + HOUR_MS + 60_000), "VALID_TOO_LONG"),
    "no such chain": (lambda live: changed(live, chain="nowhere"), "UNKNOWN_CHAIN"),
    "unknown signer": (
        lambda live: changed(live, signers=[STRANGER.public], key=STRANGER),
        "UNKNOWN_SIGNER",
    ),
    "signature of another key": (lambda live: with_signature_of(live, STRANGER), "BAD_SIGNATURE"),
    "signature of another member": (lambda live: with_signature_of(live, live.signers["lender"]), "BAD_SIGNATURE"),
    "another record attached": (other_record, "RECORDS_ROOT"),
}


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_a_transaction_that_is_refused(live: Live, api: httpx.Client, name: str) -> None:
    """Alone it is refused with its code; between two good ones it disturbs neither; nothing of it is kept."""
    make, code = TRANSACTIONS[name]
    before, after = live.transaction("erp"), live.transaction("lender")
    answer = api.post("/v1/transactions", content=encode([before.wire, make(live), after.wire]))
    assert answer.status_code == 202, answer.text
    first, bad, last = answer.json()
    assert (bad["state"], bad["code"]) == ("rejected", code)
    assert bad["message"]
    assert "\n" not in bad["message"]
    assert [first["state"], last["state"]] == ["accepted", "accepted"]
    with live.client("guarantor") as client:
        for good in (before, after):
            assert client.wait(good.id)["receipt"]["status"] == 0
        if bad["id"]:
            assert client.transaction(bytes.fromhex(bad["id"]))["state"] == "unknown"


def test_a_transaction_that_comes_again(live: Live) -> None:
    """At every node, before and after it is in a block: one place, one receipt."""
    good = live.transaction("erp")
    states = []
    for member in MEMBERS:
        with live.client(member) as client:
            states.append(client.submit_and_wait(good))
            states.append(client.submit_and_wait(good))
            assert client.submit(good)[0]["state"] == "known"
    assert all(state == states[0] for state in states)
    height = live.level()
    with live.client("lender") as client:
        listed = [tx["id"] for at in range(1, height + 1) for tx in client.block(at)["transactions"]]
    assert listed.count(good.id.hex()) == 1


@pytest.mark.parametrize(
    ("name", "chain", "signer", "code"),
    [
        ("a member on another's chain", "erp", "lender", "WRONG_CHAIN"),
        ("no such method", "erp", "erp", "UNKNOWN_METHOD"),
    ],
)
def test_an_order_the_contract_refuses(live: Live, name: str, chain: str, signer: str, code: str) -> None:
    """It is ordered and fails: a receipt with a code, and no change."""
    method = "nothing" if name == "no such method" else "submit"
    records = [sample_record(4_000_001)]
    body = make_body(
        network_id=live.network_id, chain=chain, contract="records", method=method, args=batch_args(records),
        signers=[live.signers[signer].public], nonce=bytes(16), valid_until=now() + 600_000,
    )  # fmt: skip
    with live.client("guarantor") as client:
        with pytest.raises(TransactionFailedError) as failed:
            client.submit_and_wait(sign(body, [live.signers[signer]], records))
        assert failed.value.code == code
        assert "\n" not in str(failed.value)
        assert client.records("delivery", "D0004000001") == []
    still_fine(live)


# ------------------------------------------------------------------------------ requests

HUGE = 10**30
REQUESTS = [
    ("POST", "/v1/transactions", b"", 400, "NOT_CANONICAL"),
    ("POST", "/v1/transactions", b"\x91\xc0", 400, "MALFORMED"),
    ("POST", "/v1/transactions", encode([b"x"] * 2_001), 400, "MALFORMED"),
    ("POST", "/v1/transactions", bytes(9 * MIB), 413, "TOO_LARGE"),
    ("POST", "/v1/simulate", b"\xc1", 400, "NOT_CANONICAL"),
    ("GET", "/v1/transactions/xyz", b"", 400, "NOT_HEX"),
    ("GET", "/v1/transactions/00", b"", 400, "NOT_A_HASH"),
    ("GET", f"/v1/transactions/{'00' * 32}?wait=-1", b"", 400, "PARAMETER"),
    ("GET", "/v1/blocks/-1", b"", 400, "PARAMETER"),
    ("GET", "/v1/blocks/abc", b"", 400, "PARAMETER"),
    ("GET", f"/v1/blocks/{HUGE}", b"", 400, "PARAMETER"),
    ("GET", "/v1/blocks/99999999", b"", 404, "NOT_KEPT"),
    ("GET", "/v1/state/erp", b"", 400, "PARAMETER"),
    ("GET", "/v1/state/erp?key=zz", b"", 400, "NOT_HEX"),
    ("GET", f"/v1/state/erp?key=00&at={HUGE}", b"", 400, "PARAMETER"),
    ("GET", "/v1/state/nowhere?key=00", b"", 404, "NOT_FOUND"),
    ("GET", f"/v1/proofs/state/erp?key=00&at={HUGE}", b"", 400, "PARAMETER"),
    ("GET", f"/v1/proofs/record/{'00' * 32}", b"", 404, "NOT_PROVABLE"),
    ("GET", f"/v1/documents/{'00' * 32}", b"", 404, "NOT_FOUND"),
    ("GET", "/v1/nothing", b"", 404, "NOT_FOUND"),
    ("DELETE", "/v1/status", b"", 405, "METHOD_NOT_ALLOWED"),
]  # fmt: skip


def test_requests_that_are_refused(live: Live, api: httpx.Client) -> None:
    for method, path, content, status, code in REQUESTS:
        one_line(api.request(method, path, content=content), status, code)
    still_fine(live)


# ------------------------------------------------------------------------------ strangers


PLAINTEXT = b"\x13/multistream/1.0.0\n\x11/plaintext/2.0.0\n"


def test_strangers(live: Live) -> None:
    """Plaintext, garbage, silence, and a libp2p peer with a key of its own: refused and counted."""
    address = configuration.load(live.folder / "lender" / "node.toml").p2p.listen
    before = live.status("lender")["denied_strangers"]
    with ExitStack() as open_sockets:
        for words in (PLAINTEXT, b"GET / HTTP/1.1\r\n\r\n", bytes(20_000), b""):
            knock = open_sockets.enter_context(socket.create_connection(address))
            with suppress(OSError):
                knock.sendall(words)
        still_fine(live)
        trio.run(connect_as_stranger, PeerAddress(live.public("lender", "network"), *address))
    wait(lambda: live.status("lender")["denied_strangers"] > before, "the stranger is counted")
    assert set(live.status("lender")["connected"]) == set(MEMBERS) - {"lender"}
    still_fine(live)


async def connect_as_stranger(address: PeerAddress) -> None:
    """A network with a fresh key dials a member; no link may come up."""
    network = Network(
        member="aaa", key_seed=STRANGER.seed, listen=f"127.0.0.1:{free_ports(1)}", peers={"lender": address},
        log=MemoryLog(),
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        await trio.sleep(1.0)
        assert network.connected() == set()
        nursery.cancel_scope.cancel()


# ------------------------------------------------------------------------------ a member's messages


def malformed_votes() -> list[bytes]:
    """Frames of the votes channel that are no messages."""
    good = says.encode(says.Prepare(5, 0, bytes(32), IMPOSTOR, bytes(64)))
    tag = "tally/consensus"
    return [
        b"\xc1",
        good[:-1],
        good + b"\x00",
        b"\xdd\x00\x00\x00" + bytes([good[0] & 0x0F]) + good[1:],
        encode([tag, 1, 99]),
        encode([tag, 2, 6, 1, 0]),
        encode([tag, 1, 6, -1, 0]),
        encode([tag, 1, 6, 2**60, 0]),
        encode([tag, 1, 2, 5, 0, bytes(31), IMPOSTOR, bytes(64)]),
        encode([tag, 1, 2, 5, 0, bytes(32), IMPOSTOR, bytes(63)]),
        encode([tag, 1, 2, 5, 0, bytes(32), "x" * 33, bytes(64)]),
        encode([tag, 1, 4, 5, 1, None, None, IMPOSTOR, bytes(64), [[5, 0, bytes(32), IMPOSTOR, bytes(64)]] * 65]),
        encode([tag, 1, 5, b"no block", []]),
        encode([tag, 1, 8, b"no block"]),
        b"\x91" * 1_000_000,
    ]


def malformed_bulk() -> list[bytes]:
    """Frames of the bulk channel that are no messages."""
    good = pack(Transactions((b"x",)))
    return [
        b"\xc1",
        good[:-1],
        good + b"\x00",
        encode(["tally/transactions", 1, ["text"]]),
        encode(["tally/transactions", 2, []]),
        encode(["tally/get_blocks", 1, -1]),
        encode(["tally/get_blocks", 1, True]),
        encode(["tally/blocks", 1, 1, 1, [[b"", b""]] * (MAX_BLOCKS + 1)]),
        encode(["tally/blocks", 1, 1, 1, [[b"one"]]]),
        bytes(300_000),
    ]


def harmless() -> list[tuple[Channel, bytes]]:
    """Well formed, and a lie: hints nobody may trust, votes nobody signed, transactions nobody may make."""
    return [
        ("votes", says.encode(says.Status(2**48, 2**32))),
        ("votes", says.encode(says.Prepare(5, 0, bytes(32), IMPOSTOR, bytes(64)))),
        ("votes", says.encode(says.Commit(2**48, 2**32, bytes(32), "erp", bytes(64)))),
        ("votes", says.encode(says.Commit(5, 0, bytes(32), "nobody", bytes(64)))),
        ("votes", says.encode(says.BlockRequest(2**48, bytes(32)))),
        ("bulk", pack(GetBlocks(2**62))),
        ("bulk", pack(GetBlocks(0))),
        ("bulk", pack(Blocks(1, 2**62, ((b"no block", b"no certificate"),)))),
        ("bulk", pack(Transactions((b"", b"\xc1", bytes(1_000))))),
    ]


@pytest.fixture
def without_impostors_node(live: Live) -> Iterator[Live]:
    """One member's node is stopped, for the test to take its place; afterwards that node votes again."""
    live.nodes.stop(IMPOSTOR)
    yield live
    live.start(IMPOSTOR)
    height = live.level()
    live.commit(IMPOSTOR)
    wait(lambda: live.status(IMPOSTOR)["voted_height"] > height, f"{IMPOSTOR} votes again")


def test_a_members_malformed_messages(without_impostors_node: Live) -> None:
    """Each is counted, none breaks a link or stops a node; three honest nodes go on."""
    live = without_impostors_node
    frames: list[tuple[Channel, bytes]] = [("votes", frame) for frame in malformed_votes()]
    frames += [("bulk", frame) for frame in malformed_bulk()]
    before = {member: live.status(member)["malformed"] for member in HONEST}

    def all_counted(more: int) -> bool:
        return all(live.status(member)["malformed"] == before[member] + more for member in HONEST)

    async def misbehave() -> None:
        async with impersonate(live, IMPOSTOR, vote_frame_bytes=12 * MIB) as impostor:
            for channel, frame in frames + harmless():
                impostor.network.broadcast(channel, frame)
            await off_thread(lambda: wait(lambda: all_counted(len(frames)), "every malformed frame is counted"))
            assert impostor.network.connected() == set(HONEST)
            await off_thread(lambda: live.commit("erp", at="lender"))
            impostor.network.broadcast("votes", bytes(9 * MIB))  # more than a vote may have: that stream is reset
            await off_thread(lambda: wait(lambda: all_counted(len(frames) + 1), "the oversized frame is counted"))
            await off_thread(lambda: live.commit("guarantor", at="erp"))

    trio.run(misbehave)
    live.level(*HONEST)
    for member in HONEST:
        assert live.status(member)["evidence"] == 0
        log = live.node(member).log.read_text()
        assert "Traceback" not in log
        assert log.count("malformed message") < 12


class TwoFaced:
    """A validator that signs everything twice: it prepares and commits each proposal and another digest too, told to
    different nodes in different order; as leader it proposes two digests."""

    def __init__(self, live: Live, node: Node) -> None:
        self._live = live
        self._node = node
        self._key = live.key(IMPOSTOR, "validator")
        self._seen = 0
        self.equivocations = 0

    async def run(self) -> None:
        while True:
            items, self._seen = self._node.items[self._seen :], len(self._node.items)
            for item in items:
                if isinstance(item, Inbound) and item.channel == "votes":
                    self._answer(says.decode(item.frame, Block.decode))
            await trio.sleep(0.005)

    def _answer(self, message: says.Message) -> None:
        match message:
            case says.PrePrepare(height, round_, digest):
                self._equivocate(says.Prepare, height, round_, digest)
                self._equivocate(says.Commit, height, round_, digest)
            case says.Status(height, round_) if (height + round_) % len(MEMBERS) == MEMBERS.index(IMPOSTOR):
                self._equivocate(says.PrePrepare, height, round_, bytes(32))

    def _equivocate(
        self, kind: type[says.Prepare | says.Commit | says.PrePrepare], height: int, round_: int, digest: bytes
    ) -> None:
        pair = [self._signed(kind(height, round_, choice, IMPOSTOR)) for choice in (digest, b"\xee" * 32)]
        for index, member in enumerate(HONEST):
            for frame in pair if index % 2 == 0 else reversed(pair):
                self._node.network.send(member, "votes", frame)
        self.equivocations += 1

    def _signed(self, message: says.Prepare | says.Commit | says.PrePrepare) -> bytes:
        return says.encode(message.signed(self._key.sign(message.payload(self._live.network_id, 0))))


def test_a_member_that_votes_twice(without_impostors_node: Live) -> None:
    """The chain goes on, one chain; each honest node keeps pairs of votes that anyone can check."""
    live = without_impostors_node
    public = live.public(IMPOSTOR, "validator")

    async def equivocate() -> None:
        async with impersonate(live, IMPOSTOR) as impostor, trio.open_nursery() as nursery:
            liar = TwoFaced(live, impostor)
            nursery.start_soon(liar.run)
            for member in (*HONEST, *HONEST):
                await off_thread(partial(live.commit, member, timeout_s=60.0))
            assert liar.equivocations > 5
            nursery.cancel_scope.cancel()

    trio.run(equivocate)
    live.level(*HONEST)
    kinds = set()
    for member in HONEST:
        assert live.status(member)["evidence"] > 0
        for line in (live.data(member) / EVIDENCE_FILE).read_text().splitlines():
            pair = json.loads(line)
            first, second = (says.decode(bytes.fromhex(pair[half]), Block.decode) for half in ("first", "second"))
            assert isinstance(first, says.SignedMessage)
            assert isinstance(second, says.SignedMessage)
            assert (first.sender, second.sender) == (IMPOSTOR, IMPOSTOR)
            assert (first.kind, first.height, first.round) == (second.kind, second.height, second.round)
            assert first.content != second.content
            for vote in (first, second):
                assert verify(public, vote.payload(live.network_id, 0), vote.signature)
            kinds.add(first.kind)
    assert {says.MessageKind.PREPARE, says.MessageKind.COMMIT} <= kinds
