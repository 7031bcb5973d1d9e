"""A light client's headers: every lie of a node noticed, crashes survived, receipts checked with them alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from chain.certificate import VoteKind, vote_message
from chain.codec import decode, encode
from chain.crypto import sha256
from chain.proof import prove_record_by_id, prove_state, prove_transaction
from chain.verification import VerificationError, compact, verify_compact, verify_proof
from node.headers_api import headers_after
from tallystick.client import HEADERS_BYTES, Client, ClientError, NodeUnreachableError
from tallystick.headers import Answer, HeaderChain, HeadersError, Stretch, row_of, sync
from tests.chain.chain_builder import VOTERS, Consortium, record, record_key, vote_in

BLOCKS = 12


@pytest.fixture
def network() -> Consortium:
    """A few blocks in two epochs."""
    consortium = Consortium()
    consortium.seal(consortium.submit("erp", record("1"), record("2")), consortium.party("kestrel"))
    rows = [[member, consortium.key(member, "validator").public] for member in VOTERS[:3]]
    vote_in(consortium, {"kind": "validators", "set": rows})
    while consortium.ledger.height < BLOCKS:
        consortium.seal()
    return consortium


def node(network: Consortium, most: int = 500) -> Callable[[int], bytes]:
    """What a node of the network answers."""
    return lambda after: headers_after(network.ledger, after, most).encode()


def synced(network: Consortium, path: Path, most: int = 500) -> HeaderChain:
    chain, failures = sync(path, network.network_id, [node(network, most)])
    assert not failures
    return chain


@pytest.mark.parametrize("most", [1, 3, 500])
def test_headers_are_those_of_the_ledger(network: Consortium, tmp_path: Path, most: int) -> None:
    chain = synced(network, tmp_path / "h", most)
    assert chain.height == BLOCKS
    assert chain.digest == network.ledger.head.digest
    assert chain.validators == network.ledger.validators()
    again = HeaderChain(tmp_path / "h", network.network_id)
    for height in range(1, BLOCKS + 1):
        assert again.header(height) == network.ledger.header(height)
    for height in (0, BLOCKS + 1):
        with pytest.raises(VerificationError, match="header chain ends at block"):
            again.header(height)


def test_it_goes_on_where_it_was(network: Consortium, tmp_path: Path) -> None:
    synced(network, tmp_path / "h")
    network.seal()
    asked: list[int] = []

    def watched(after: int) -> bytes:
        asked.append(after)
        return node(network)(after)

    chain, _ = sync(tmp_path / "h", network.network_id, [watched])
    assert chain.height == BLOCKS + 1
    assert asked == [BLOCKS, BLOCKS + 1], "only what is missing is fetched"


# -- lies ---------------------------------------------------------------------------------------------------


def stretch_of(answer: bytes) -> tuple[Answer, Stretch]:
    whole = Answer.decode(answer)
    assert whole.stretch is not None
    return whole, whole.stretch


def altered(answer: bytes, **changes: Any) -> bytes:
    whole, stretch = stretch_of(answer)
    return whole._replace(stretch=replace(stretch, **changes)).encode()


def an_altered_header(_network: Consortium, answer: bytes) -> bytes:
    _, stretch = stretch_of(answer)
    return altered(answer, rows=([*stretch.rows[0][:-1], bytes(32)], *stretch.rows[1:]))


def a_missing_header(_network: Consortium, answer: bytes) -> bytes:
    return altered(answer, rows=stretch_of(answer)[1].rows[1:])


def too_few_signers(_network: Consortium, answer: bytes) -> bytes:
    seal = stretch_of(answer)[1].certificate
    return altered(answer, certificate=replace(seal, signatures=seal.signatures[1:]))


def one_signer_twice(_network: Consortium, answer: bytes) -> bytes:
    seal = stretch_of(answer)[1].certificate
    return altered(answer, certificate=replace(seal, signatures=(seal.signatures[0], *seal.signatures[:2])))


def other_validators_next(network: Consortium, answer: bytes) -> bytes:
    """The set that hands over hands over to strangers: their hash makes another header."""
    _, stretch = stretch_of(answer)
    assert stretch.coming is not None
    strangers = replace(stretch.coming, members=(("erp", network.key("office", "validator").public),))
    return altered(answer, coming=strangers)


def another_statement(_network: Consortium, _answer: bytes) -> bytes:
    other = Consortium("other")
    other.seal()
    return headers_after(other.ledger, 0, 9).encode()


def another_header_zero(_network: Consortium, answer: bytes) -> bytes:
    return Answer.decode(answer)._replace(parent=bytes(32)).encode()


def no_answer(_network: Consortium, _answer: bytes) -> bytes:
    return b"<html>"


def a_row_of_other_kinds(_network: Consortium, answer: bytes) -> bytes:
    value = decode(answer)
    value[5][0][0][1] = "now"
    return encode(value)


LIES: dict[Callable[[Consortium, bytes], bytes], str] = {
    an_altered_header: "WRONG_CERTIFICATE",
    a_missing_header: "WRONG_CERTIFICATE",
    too_few_signers: "WRONG_CERTIFICATE",
    one_signer_twice: "WRONG_CERTIFICATE",
    other_validators_next: "WRONG_CERTIFICATE",
    another_statement: "ANOTHER_NETWORK",
    another_header_zero: "WRONG_CERTIFICATE",
    no_answer: "MALFORMED",
    a_row_of_other_kinds: "MALFORMED",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_liar_is_refused_and_made_good_by_the_next_node(
    network: Consortium, tmp_path: Path, lie: Callable[[Consortium, bytes], bytes]
) -> None:
    honest = node(network)
    with pytest.raises(HeadersError) as refusal:
        sync(tmp_path / "h", network.network_id, [lambda after: lie(network, honest(after))])
    assert refusal.value.code == LIES[lie]
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "h").exists(), "nothing of a liar's is kept"
    chain, failures = sync(tmp_path / "h", network.network_id, [lambda after: lie(network, honest(after)), honest])
    assert chain.height == BLOCKS
    assert len(failures) == 1


def test_a_node_that_is_behind_or_away_is_made_good_by_the_next(network: Consortium, tmp_path: Path) -> None:
    synced(network, tmp_path / "h")
    fresh = Consortium()  # the same network at its beginning: a node that has none of these headers yet
    network.seal()

    def away(_after: int) -> bytes:
        raise NodeUnreachableError("UNREACHABLE", "no node answers")

    chain, failures = sync(tmp_path / "h", network.network_id, [node(fresh), away, node(network)])
    assert chain.height == BLOCKS + 1
    assert [str(failure) for failure in failures] == ["no node answers"]


def test_before_the_first_block_there_is_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(HeadersError) as refusal:
        sync(tmp_path / "h", Consortium().network_id, [node(Consortium())])
    assert refusal.value.code == "NOTHING_YET"


def test_two_certified_histories_are_a_fork_and_another_block_without_votes_is_not(
    network: Consortium, tmp_path: Path
) -> None:
    chain = synced(network, tmp_path / "h")
    validators, keys = network.ledger.validators(), network.validator_keys
    header = replace(network.ledger.head, height=BLOCKS + 1, parent_hash=bytes(32))
    message = vote_message(network.network_id, validators.epoch, VoteKind.COMMIT, header.height, 0, header.digest)
    seals = tuple((name, keys[key].sign(message)) for name, key in validators.members)
    certificate = replace(network.certify(network.build()[0]), digest=header.digest, signatures=seals)
    forked = Answer(header.height, bytes(32), None, Stretch((row_of(header),), certificate, None))
    with pytest.raises(HeadersError) as refusal:
        chain.append(forked)
    assert refusal.value.code == "FORKED"
    with pytest.raises(HeadersError) as refusal:
        chain.append(forked._replace(parent=bytes([1]) * 32))
    assert refusal.value.code == "WRONG_CERTIFICATE"
    assert chain.height == BLOCKS


# -- the file -----------------------------------------------------------------------------------------------


def test_a_file_cut_short_anywhere_keeps_its_whole_stretches_and_goes_on(network: Consortium, tmp_path: Path) -> None:
    path = tmp_path / "h"
    synced(network, path, most=3)
    whole = path.read_bytes()
    heights, first = set(), 4 + int.from_bytes(whole[:4], "big")
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        if size < first:
            with pytest.raises(HeadersError, match="delete it"):
                HeaderChain(path, network.network_id)
            continue
        heights.add(HeaderChain(path, network.network_id).height)
        assert synced(network, path, most=3).height == BLOCKS
        assert path.read_bytes() == whole
    assert {0, 3} <= heights


def test_an_altered_file_is_damaged_or_ends_earlier_but_never_lies(network: Consortium, tmp_path: Path) -> None:
    path = tmp_path / "h"
    synced(network, path, most=3)
    whole = path.read_bytes()
    outcomes = set()
    for place in range(0, len(whole), 131):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            chain = HeaderChain(path, network.network_id)
        except HeadersError as error:
            outcomes.add(error.code)
            continue
        assert chain.height < BLOCKS
        outcomes.add("shorter")
        for height in range(1, chain.height + 1):
            assert chain.header(height) == network.ledger.header(height)
    assert {"DAMAGED", "shorter"} <= outcomes


def test_a_file_that_is_changed_under_an_open_chain_never_lies(network: Consortium, tmp_path: Path) -> None:
    path = tmp_path / "headers"
    chain = synced(network, path, 3)
    whole = path.read_bytes()
    wanted = chain.header(2)
    path.write_bytes(whole.replace(wanted.state_root, bytes(32)))
    for height in (1, 2):
        with pytest.raises(HeadersError, match="was changed while it was read") as refused:
            chain.header(height)
        assert refused.value.code == "DAMAGED"
    path.write_bytes(whole[:-1])
    with pytest.raises(HeadersError, match="was changed while it was read"):
        chain.header(chain.height)
    path.write_bytes(whole)
    assert chain.header(2) == wanted


def test_an_endless_answer_is_not_read_on() -> None:
    """Nodes are not trusted: one must not fill a light client's memory."""
    sent = 0

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal sent
            self.send_response(200)
            self.end_headers()
            with suppress(ConnectionError):
                while sent < 256 * HEADERS_BYTES:
                    sent += self.wfile.write(bytes(65536))

        def log_message(self, *_arguments: Any) -> None:
            """Not to the tests' output."""

    with HTTPServer(("127.0.0.1", 0), Endless) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        with Client(url) as client, pytest.raises(ClientError, match="ask another node") as refused:
            client.headers(0)
        thread.join()
    assert refused.value.code == "BAD_ANSWER"
    assert sent < 16 * HEADERS_BYTES


def test_another_networks_file_is_refused(network: Consortium, tmp_path: Path) -> None:
    synced(network, tmp_path / "h")
    with pytest.raises(HeadersError) as refusal:
        HeaderChain(tmp_path / "h", bytes(32))
    assert refusal.value.code == "ANOTHER_NETWORK"


# -- receipts -----------------------------------------------------------------------------------------------


def proofs_of(network: Consortium) -> list[bytes]:
    ledger = network.ledger
    tx_id = next(receipt.tx_id for receipt in ledger.receipts(1)["erp"])
    return [
        prove_transaction(ledger, tx_id),
        prove_record_by_id(ledger, sha256(record("2"))),
        prove_state(ledger, "erp", record_key("1"), 3),
        prove_state(ledger, "erp", record_key("9"), 5),
    ]


def test_a_compact_proof_says_what_the_whole_one_says(network: Consortium, tmp_path: Path) -> None:
    chain = synced(network, tmp_path / "h")
    for whole in proofs_of(network):
        small = compact(whole)
        found = verify_compact(small, network.network_id, chain.header)
        wanted = verify_proof(whole, network.network_id)
        assert (found.kind, found.height, found.time, found.subject) == (
            wanted.kind, wanted.height, wanted.time, wanted.subject,
        )  # fmt: skip
        assert len(small) < len(whole) - 800


def test_a_compact_proof_that_was_altered_does_not_stand(network: Consortium, tmp_path: Path) -> None:
    chain = synced(network, tmp_path / "h")
    value = decode(compact(proofs_of(network)[0]))
    claim = value["claim"]
    lies = [
        {**value, "height": 2},
        {**value, "height": BLOCKS + 5},
        {**value, "height": "1"},
        {**value, "header": b""},
        {**value, "claim": {**claim, "receipt": [claim["receipt"][0][:-1] + b"\x01", claim["receipt"][1]]}},
        {**value, "claim": {**claim, "extra": 1}},
    ]
    for lie in lies:
        with pytest.raises(VerificationError):
            verify_compact(encode(lie), network.network_id, chain.header)


def test_the_command_checks_receipts_with_headers(network: Consortium, tmp_path: Path, tally: Any) -> None:
    path, genesis = tmp_path / "h", network.network_id.hex()
    synced(network, path)
    whole = tmp_path / "whole.proof"
    whole.write_bytes(proofs_of(network)[1])
    done = tally("headers", "compact", whole, "-o", tmp_path / "small", "--json")
    assert done.json["bytes"] < done.json["bytes_of_the_whole_proof"]
    done = tally("verify", tmp_path / "small", "--headers", path, "--genesis", genesis)
    assert done.code == 0, done.err
    assert "stands in the header chain given" in done.out
    assert "This record stood on the chain of erp in block 1" in done.out
    assert tally("verify", whole, "--headers", path, "--genesis", genesis).code == 0
    done = tally("verify", tmp_path / "small", "--genesis", genesis, "--json")
    assert (done.code, done.json["error"]["code"]) == (6, "NEEDS_HEADERS")
    done = tally("verify", tmp_path / "small", "--headers", whole, "--genesis", genesis, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "FILE")
    done = tally("headers", "show", path, "--genesis", genesis, "--json")
    assert done.json["height"] == BLOCKS
    assert str(BLOCKS) in tally("headers", "show", path, "--genesis", genesis).out
    done = tally("headers", "show", path, "7", "--genesis", genesis, "--json")
    assert done.json["digest"] == network.ledger.header(7).digest.hex()
    done = tally("headers", "show", path, "99", "--genesis", genesis)
    assert done.code == 6
    assert "header chain ends at block 12" in done.err
    done = tally("headers", "sync", path, "--genesis", "00" * 32, "--json")
    assert (done.code, done.json["error"]["code"]) == (6, "ANOTHER_NETWORK")
