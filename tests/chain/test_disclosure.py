"""Disclosures: what one proves, and everything that it must not prove."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import pytest

from chain.codec import decode, encode
from chain.crypto import sha256
from chain.disclosure import Disclosure, verify_disclosure
from chain.proof import prove_record_by_id, prove_state
from chain.sealed import SealedBody, SealedNames, decode_raw, seal, seal_file
from chain.verification import Verdict, VerificationError, verify_proof
from contracts.record import FieldValue
from tests.chain.chain_builder import GENESIS_TIME, Consortium

SECRET = sha256(b"the member's secret")
FILE = b"<Delivery/>"
SEALED: dict[str, FieldValue] = {
    "account": "GB29 NWBK 6016 1331 9268 19",
    "carrier": "Post",
    "lines": [["1", "pump", "5", "", "", ""]],
}


class Sealed(NamedTuple):
    """One record on a chain, with what its member keeps."""

    body: SealedBody
    proof: bytes
    id: bytes


class World(NamedTuple):
    """A ledger with two records of the same fields, and one with nothing sealed."""

    consortium: Consortium
    first: Sealed
    second: Sealed
    copied: bytes
    """Proof of a record that carries the sealed root of the first."""
    open: bytes

    def verify(self, disclosure: Disclosure | bytes, file: bytes | None = None) -> Verdict:
        data = disclosure.encode() if isinstance(disclosure, Disclosure) else disclosure
        return verify_disclosure(data, partial(verify_proof, network_id=self.consortium.network_id), file)


def record_of(number: str, root: bytes | None) -> bytes:
    """A delivery of the template ``bench`` with a sealed root."""
    values = {"issue_date": "2025-05-01", "item": "steel bar", "quantity": "12.5"}
    source = ["test", "test", "1", seal_file(FILE, SECRET).hash, GENESIS_TIME]
    return encode(
        ["tally/record", 1, "delivery", "GB-COH:1", number, "GB-COH:1", "GB-COH:2", "bench", 1, "2025-05-01", [],
         source, values, root, None]
    )  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    consortium = Consortium("disclosure")
    bodies = [seal(SEALED, ("delivery", "GB-COH:1", number), SECRET) for number in ("D1", "D2")]
    roots = {"D1": bodies[0].root, "D2": bodies[1].root, "D3": None, "D4": bodies[0].root}
    records = [record_of(number, root) for number, root in roots.items()]
    consortium.seal(consortium.submit("erp", *records))
    proofs = [prove_record_by_id(consortium.ledger, sha256(record)) for record in records]
    sealed = [
        Sealed(body, proof, sha256(record)) for body, proof, record in zip(bodies, proofs, records, strict=False)
    ]
    return World(consortium, sealed[0], sealed[1], proofs[3], proofs[2])


def disclosure(sealed: Sealed, *names: str, salt: bytes | None = None) -> Disclosure:
    openings = tuple(sealed.body.open(name) for name in names)
    return Disclosure(sealed.proof, sealed.body.names() if names else None, openings, salt)


def test_what_is_opened_stood_on_the_chain_and_the_rest_stays_hidden(world: World) -> None:
    made = disclosure(world.first, "account", "lines")
    verdict = world.verify(made)
    assert verdict.kind == "disclosure"
    assert verdict.subject["record_id"] == world.first.id.hex()
    assert verdict.subject["opened"] == {"account": SEALED["account"], "lines": SEALED["lines"]}
    assert verdict.subject["sealed_fields"] == ["account", "carrier", "lines"]
    assert verdict.subject["file"] is None
    assert any("account is number 1 of 3" in step for step in verdict.steps)
    assert b"Post" not in made.encode()
    assert Disclosure.decode(made.encode()) == made


def test_the_raw_file_is_held_against_the_record_by_its_salt(world: World) -> None:
    salt = decode_raw(seal_file(FILE, SECRET).encode()).salt
    made = disclosure(world.first, salt=salt)
    assert world.verify(made).subject["opened"] == {}
    assert world.verify(made, FILE).subject["file"] is True
    for other, file, said in (
        (made, FILE + b" ", "not the one that the record was read from"),
        (replace(made, raw_salt=bytes(32)), FILE, "not the one that the record was read from"),
        (disclosure(world.first, "carrier"), FILE, "does not open the raw file's hash"),
    ):
        with pytest.raises(VerificationError, match=said):
            world.verify(other, file)


NOT_SEALED = "was not sealed with this value under the record's sealed root"
NO_LIST = "the list of sealed fields does not lead to the record's sealed root"


def wrong(world: World) -> list[tuple[str, Disclosure]]:
    """Disclosures that prove nothing, with what each is refused for."""
    made = disclosure(world.first, "account", "carrier")
    account, carrier = made.openings
    other = disclosure(world.second, "account", "carrier")
    names = world.first.body.names()
    openings = [
        (replace(account, value="GB00"), carrier),
        (replace(account, salt=bytes(32)),),
        (account, replace(carrier, index=1)),
        (account, replace(carrier, index=True)),
        (replace(carrier, count=3),),
        (replace(account, path=carrier.path),),
        (replace(account, name="value"),),
        other.openings,
    ]
    lists = [
        None,
        other.names,
        replace(names, names=("account", "carrier")),
        SealedNames(("account", "account"), names.path),
    ]
    return [
        *((NOT_SEALED, replace(made, openings=row)) for row in openings),
        *((NO_LIST, replace(made, names=row)) for row in lists),
        (NO_LIST, replace(made, proof=world.second.proof)),
        (NO_LIST, replace(made, proof=world.copied)),
        ("the record has no sealed fields", replace(made, proof=world.open)),
        ("field 'account' is opened twice", replace(made, openings=(account, account))),
        ("names sealed fields and opens none", replace(made, openings=())),
    ]


@pytest.mark.parametrize("index", range(17))
def test_an_opening_that_is_not_of_the_record_is_refused(world: World, index: int) -> None:
    said, made = wrong(world)[index]
    with pytest.raises(VerificationError, match=said) as caught:
        world.verify(made)
    assert "\n" not in str(caught.value)


def test_it_stands_on_a_record_proof_under_the_given_genesis(world: World) -> None:
    made = disclosure(world.first, "account")
    with pytest.raises(VerificationError, match="another consortium"):
        verify_disclosure(made.encode(), partial(verify_proof, network_id=bytes(32)))
    state = prove_state(world.consortium.ledger, "erp", encode(["records", "record", "x"]))
    with pytest.raises(VerificationError, match="proof of a state, not of a record"):
        world.verify(replace(made, proof=state))
    with pytest.raises(VerificationError, match="not a tally/proof"):
        world.verify(replace(made, proof=b"\xff"))


def test_malformed_bytes_are_one_line(world: World) -> None:
    whole: dict[str, Any] = decode(disclosure(world.first, "account").encode())
    opening = whole["openings"][0]
    cases: list[bytes] = [
        b"",
        b"\x80",
        encode([]),
        encode({**whole, "format": ["tally/disclosure", 2]}),
        encode({**whole, "more": 1}),
        encode({**whole, "openings": [opening[:5]]}),
        encode({**whole, "openings": None}),
        encode({**whole, "openings": [[*opening[:2], 7, *opening[3:]]]}),
        encode({**whole, "openings": [[*opening[:2], [["a", 7]], *opening[3:]]]}),
        encode({**whole, "openings": [[b"account", *opening[1:]]]}),
        encode({**whole, "openings": [[[], *opening[1:]]]}),
        encode({**whole, "openings": [[*opening[:3], "1", *opening[4:]]]}),
        encode({**whole, "openings": [[*opening[:5], [1]]]}),
        encode({**whole, "names": [["account"]]}),
        encode({**whole, "names": [[1, 2], []]}),
        encode({**whole, "names": [[[]], []]}),
        encode({**whole, "names": 5}),
        encode({**whole, "raw_salt": b"short"}),
        encode({**whole, "raw_salt": 5}),
        encode({**whole, "proof": None}),
    ]
    for data in cases:
        with pytest.raises(VerificationError) as caught:
            world.verify(data)
        assert "\n" not in str(caught.value)


def test_no_byte_of_it_can_be_changed(world: World) -> None:
    """Of the proof a sample, of what stands around it every second."""
    made = disclosure(world.first, "account", "lines", salt=seal_file(FILE, SECRET).salt)
    data = made.encode()
    inside = range(data.index(made.proof), data.index(made.proof) + len(made.proof))
    places = [place for place in range(len(data)) if place % (31 if place in inside else 2) == 0]
    assert len(places) > 250
    for place in places:
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(VerificationError):
            world.verify(changed, FILE)
