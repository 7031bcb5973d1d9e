"""Quorums and certificates: Q = (2n-1)//3 + 1 of distinct signers over exactly one COMMIT."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from chain.certificate import (
    Certificate,
    CertificateError,
    ValidatorSet,
    VoteKind,
    faults,
    quorum,
    round_change_message,
    vote_message,
)
from chain.codec import decode, encode
from chain.crypto import SigningKey, hash_value, sha256

NETWORK = bytes(range(32))
DIGEST = sha256(b"block")
EPOCH, HEIGHT, ROUND = 3, 9, 2
NAMES = tuple(f"v{index:02}" for index in range(16))
KEYS = {name: SigningKey.from_seed(sha256(name.encode())) for name in NAMES}


def validators(n: int, epoch: int = EPOCH) -> ValidatorSet:
    return ValidatorSet(epoch, tuple((name, KEYS[name].public) for name in NAMES[:n]))


def seal(name: str, message: bytes) -> tuple[str, bytes]:
    return name, KEYS[name].sign(message)


COMMIT = vote_message(NETWORK, EPOCH, VoteKind.COMMIT, HEIGHT, ROUND, DIGEST)


def certificate(names: Any, message: bytes = COMMIT, **changes: Any) -> Certificate:
    parts: dict[str, Any] = {
        "height": HEIGHT,
        "round": ROUND,
        "digest": DIGEST,
        "epoch": EPOCH,
        "signatures": tuple(seal(name, message) for name in names),
    }
    return Certificate(**{**parts, **changes})


# -- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 17))
def test_quorum_and_faults_by_their_definitions(n: int) -> None:
    """f is the most with n ≥ 3f + 1, Q two thirds rounded up: two quorums share more than f, and f may be silent."""
    f = max(f for f in range(n) if n >= 3 * f + 1)
    assert faults(n) == f
    safe = [q for q in range(1, n + 1) if 2 * q - n > f]
    assert quorum(n) == min(q for q in range(1, n + 1) if 3 * q >= 2 * n)
    assert quorum(n) in safe
    assert n - f >= quorum(n), "the honest alone must be able to decide"


@pytest.mark.parametrize("n", range(1, 8))
def test_any_two_quorums_share_an_honest_validator(n: int) -> None:
    everybody = range(n)
    groups = [set(group) for group in combinations(everybody, quorum(n))]
    for liars in combinations(everybody, faults(n)):
        assert all((one & other) - set(liars) for one in groups for other in groups)


def test_two_f_plus_one_forks_at_five_and_six() -> None:
    for n in (5, 6):
        assert quorum(n) > 2 * faults(n) + 1
        assert 2 * (2 * faults(n) + 1) - n <= faults(n)


# -- what is signed ---------------------------------------------------------------------------------------


def test_a_vote_names_domain_network_epoch_kind_height_round_and_digest() -> None:
    assert decode(COMMIT) == ["tally/vote", 1, NETWORK, EPOCH, 3, HEIGHT, ROUND, DIGEST]
    assert [int(kind) for kind in VoteKind] == [1, 2, 3]
    assert decode(round_change_message(NETWORK, 1, 2, 3, None, None)) == [
        "tally/round_change", 1, NETWORK, 1, 2, 3, None, None,
    ]  # fmt: skip
    assert decode(round_change_message(NETWORK, 1, 2, 3, 0, DIGEST))[6:] == [0, DIGEST]


# -- the set ----------------------------------------------------------------------------------------------


def test_the_hash_of_a_set_covers_epoch_ids_and_keys() -> None:
    three = validators(3)
    assert three.hash == hash_value(["tally/validators", 1, EPOCH, [[name, KEYS[name].public] for name in NAMES[:3]]])
    others = [validators(4), validators(3, epoch=4), ValidatorSet(EPOCH, (*three.members[:2], ("v02", bytes(32))))]
    assert len({three.hash, *(other.hash for other in others)}) == 4
    assert ValidatorSet.from_value(decode(encode(three.to_value()))) == three
    assert three.quorum == quorum(3)
    assert three.ids == NAMES[:3]


ROW = ["v00", KEYS["v00"].public]
OTHER = ["v01", KEYS["v01"].public]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        ["tally/validators", 1, 0],
        ["tally/validators", True, 0, [ROW]],
        ["tally/validators", 2, 0, [ROW]],
        ["tally/validator", 1, 0, [ROW]],
        ["tally/validators", 1, True, [ROW]],
        ["tally/validators", 1, "0", [ROW]],
        ["tally/validators", 1, -1, [ROW]],
        ["tally/validators", 1, 0, {}],
        ["tally/validators", 1, 0, []],
        ["tally/validators", 1, 0, [OTHER, ROW]],
        ["tally/validators", 1, 0, [ROW, ROW]],
        ["tally/validators", 1, 0, [ROW, ["v00", OTHER[1]]]],
        ["tally/validators", 1, 0, [ROW, ["v01", ROW[1]]]],
        ["tally/validators", 1, 0, [["v00", bytes(31)]]],
        ["tally/validators", 1, 0, [["v00", "0" * 32]]],
        ["tally/validators", 1, 0, [[b"v00", ROW[1]]]],
        ["tally/validators", 1, 0, [[*ROW, 1]]],
        ["tally/validators", 1, 0, ["v00"]],
    ],
    ids=range(20),
)
def test_what_is_no_validator_set(value: Any) -> None:
    with pytest.raises(CertificateError):
        ValidatorSet.from_value(value)


# -- the certificate --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 17))
def test_a_quorum_of_signers_stands_and_one_less_does_not(n: int) -> None:
    least = quorum(n)
    certificate(NAMES[:least]).check(validators(n), NETWORK)
    certificate(NAMES[n - least : n]).check(validators(n), NETWORK)
    certificate(NAMES[:n]).check(validators(n), NETWORK)
    with pytest.raises(CertificateError):
        certificate(NAMES[: least - 1]).check(validators(n), NETWORK)


def test_its_form_and_its_hash() -> None:
    made = certificate(NAMES[:3])
    rows = [[name, signature] for name, signature in made.signatures]
    assert decode(made.encode()) == ["tally/certificate", 1, HEIGHT, ROUND, DIGEST, EPOCH, rows]
    assert made.hash == sha256(made.encode())
    assert Certificate.decode(made.encode()) == made
    assert made.hash != certificate(NAMES[1:4]).hash, "which certificate is canonical must be told apart"


def test_signers_are_counted_and_not_signatures() -> None:
    """besu#1671: one validator's signature, three times, is one."""
    one = seal("v00", COMMIT)
    for rows in ((one, one, one), (one, one, seal("v01", COMMIT)), (seal("v01", COMMIT), one, seal("v02", COMMIT))):
        with pytest.raises(CertificateError):
            certificate((), signatures=rows).check(validators(4), NETWORK)


def test_strangers_do_not_count() -> None:
    with pytest.raises(CertificateError):
        certificate(["v00", "v01", "v05"]).check(validators(4), NETWORK)
    stolen = ("v02", KEYS["v05"].sign(COMMIT))
    with pytest.raises(CertificateError):
        certificate((), signatures=(seal("v00", COMMIT), seal("v01", COMMIT), stolen)).check(validators(4), NETWORK)


def test_one_bad_signature_among_enough_good_ones_is_refused() -> None:
    """Only one certificate is canonical, so nothing in it may be free."""
    rows = (*(seal(name, COMMIT) for name in NAMES[:3]), ("v03", bytes(64)))
    with pytest.raises(CertificateError):
        certificate((), signatures=rows).check(validators(4), NETWORK)


@pytest.mark.parametrize(
    "message",
    [
        vote_message(bytes(32), EPOCH, VoteKind.COMMIT, HEIGHT, ROUND, DIGEST),
        vote_message(NETWORK, EPOCH + 1, VoteKind.COMMIT, HEIGHT, ROUND, DIGEST),
        vote_message(NETWORK, EPOCH, VoteKind.PREPARE, HEIGHT, ROUND, DIGEST),
        vote_message(NETWORK, EPOCH, VoteKind.PRE_PREPARE, HEIGHT, ROUND, DIGEST),
        vote_message(NETWORK, EPOCH, VoteKind.COMMIT, HEIGHT + 1, ROUND, DIGEST),
        vote_message(NETWORK, EPOCH, VoteKind.COMMIT, HEIGHT, ROUND + 1, DIGEST),
        vote_message(NETWORK, EPOCH, VoteKind.COMMIT, HEIGHT, ROUND, bytes(32)),
        round_change_message(NETWORK, EPOCH, HEIGHT, ROUND, ROUND, DIGEST),
    ],
    ids=["network", "epoch", "PREPARE", "PRE-PREPARE", "height", "round", "digest", "ROUND-CHANGE"],
)
def test_signatures_over_anything_else_do_not_count(message: bytes) -> None:
    with pytest.raises(CertificateError, match="does not verify"):
        certificate(NAMES[:3], message).check(validators(4), NETWORK)


@pytest.mark.parametrize(
    ("field", "value"),
    [("height", HEIGHT - 1), ("round", ROUND - 1), ("digest", bytes(32)), ("epoch", EPOCH - 1)],
)
def test_a_certificate_cannot_be_turned_into_another(field: str, value: Any) -> None:
    with pytest.raises(CertificateError):
        certificate(NAMES[:3], **{field: value}).check(validators(4), NETWORK)
    if field == "epoch":
        with pytest.raises(CertificateError, match="does not verify"):
            certificate(NAMES[:3], epoch=EPOCH - 1).check(validators(4, epoch=EPOCH - 1), NETWORK)


def test_another_network_is_refused() -> None:
    with pytest.raises(CertificateError):
        certificate(NAMES[:3]).check(validators(4), bytes(32))


def test_genesis_has_no_certificate() -> None:
    message = vote_message(NETWORK, EPOCH, VoteKind.COMMIT, 0, 0, DIGEST)
    with pytest.raises(CertificateError):
        certificate(NAMES[:3], message, height=0, round=0).check(validators(4), NETWORK)


SEAL = ["v00", bytes(64)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        ["tally/certificate", 1, 1, 0, DIGEST, 0],
        ["tally/certificate", True, 1, 0, DIGEST, 0, [SEAL]],
        ["tally/certificate", 2, 1, 0, DIGEST, 0, [SEAL]],
        ["tally/cert", 1, 1, 0, DIGEST, 0, [SEAL]],
        ["tally/certificate", 1, True, 0, DIGEST, 0, [SEAL]],
        ["tally/certificate", 1, 1, False, DIGEST, 0, [SEAL]],
        ["tally/certificate", 1, 1, 0, DIGEST, False, [SEAL]],
        ["tally/certificate", 1, -1, 0, DIGEST, 0, [SEAL]],
        ["tally/certificate", 1, 1, -1, DIGEST, 0, [SEAL]],
        ["tally/certificate", 1, 1, None, DIGEST, 0, [SEAL]],
        ["tally/certificate", 1, 1, 0, bytes(31), 0, [SEAL]],
        ["tally/certificate", 1, 1, 0, "0" * 32, 0, [SEAL]],
        ["tally/certificate", 1, 1, 0, DIGEST, 0, {"v00": bytes(64)}],
        ["tally/certificate", 1, 1, 0, DIGEST, 0, [["v00", bytes(63)]]],
        ["tally/certificate", 1, 1, 0, DIGEST, 0, [[b"v00", bytes(64)]]],
        ["tally/certificate", 1, 1, 0, DIGEST, 0, [["v00", "0" * 64]]],
        ["tally/certificate", 1, 1, 0, DIGEST, 0, [[*SEAL, 0]]],
        ["tally/certificate", 1, 1, 0, DIGEST, 0, [SEAL], None],
    ],
    ids=range(19),
)
def test_what_is_no_certificate(value: Any) -> None:
    with pytest.raises(CertificateError):
        Certificate.decode(encode(value))


def test_bytes_that_are_no_certificate() -> None:
    data = certificate(NAMES[:3]).encode()
    for wrong in (b"", data[:-1], data + b"\x00", data.replace(b"\xb1tally", b"\xd9\x11tally"), bytes(100_000)):
        with pytest.raises(CertificateError) as refusal:
            Certificate.decode(wrong)
        assert "\n" not in str(refusal.value)
