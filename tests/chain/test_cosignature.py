"""Signed notes and cosignatures: the forms of the specifications, and everything that is not quite one of them."""

from __future__ import annotations

import random
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest

from chain import crypto
from chain.anchor import DEVELOPMENT_NOTE, Trusted, UnanchoredError, VerificationError, verify_anchor
from chain.checkpoint import Checkpoint
from chain.cosignature import (
    MAX_NOTE_SIZE,
    TYPE_COSIGNATURE,
    TYPE_LOG,
    Line,
    Note,
    NoteError,
    cosign,
    cosignature_times,
    is_reserved,
    key_id,
    origin_of,
    parse_lines,
    parse_verifier_key,
    sign_checkpoint,
    verifier_key,
    verify_cosigned,
)
from chain.crypto import SigningKey

CHECKPOINT = Checkpoint(bytes(range(32)), 23, sha256(b"root").digest())
LOG = SigningKey(sha256(b"log").digest())
WITNESS = SigningKey(sha256(b"witness").digest())
SECOND = SigningKey(sha256(b"second witness").digest())
NAME, OTHER_NAME = "witness.bank/w1", "w2.court"
TRUSTED = {NAME: WITNESS.public, OTHER_NAME: SECOND.public}
AT = 1_772_366_400


def cosigned(*lines: Line, checkpoint: Checkpoint = CHECKPOINT) -> bytes:
    note = sign_checkpoint(checkpoint, LOG)
    return Note(note.text, (*note.lines, *lines)).encode()


def line(name: str = NAME, key: SigningKey = WITNESS, at: int = AT, checkpoint: Checkpoint = CHECKPOINT) -> Line:
    return cosign(checkpoint.body, name, key, at)


def test_the_note_that_go_publishes_verifies() -> None:
    """The example of golang.org/x/mod/sumdb/note: key id, text and signature by other people's program."""
    key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    data = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        "— PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    ).encode()
    name, public = parse_verifier_key(key, TYPE_LOG)
    note = Note.parse(data)
    assert verifier_key(name, TYPE_LOG, public) == key
    assert note.lines[0][:2] == (name, key_id(name, TYPE_LOG, public))
    assert crypto.verify(public, note.text, note.lines[0].signature)
    assert note.encode() == data


def test_a_cosigned_checkpoint_gives_the_witness_s_time() -> None:
    found = verify_cosigned(cosigned(line()), CHECKPOINT, TRUSTED)
    assert (found.time, found.witness, found.times, found.development) == (AT, NAME, {NAME: AT}, False)
    assert Note.parse(cosigned(line())).lines[0].name == origin_of(CHECKPOINT) == f"tally/{bytes(range(32)).hex()}"


def test_of_several_witnesses_the_earliest_counts_and_strangers_are_passed_over() -> None:
    stranger = line("stranger.org/w", SigningKey(sha256(b"stranger").digest()), AT - 100)
    same_name = line(NAME, SigningKey(sha256(b"another key").digest()), AT - 100)
    post_quantum = Line(NAME, b"\x01\x02\x03\x04", bytes(2428))
    data = cosigned(line(at=AT + 5), stranger, same_name, post_quantum, line(OTHER_NAME, SECOND, AT))
    found = verify_cosigned(data, CHECKPOINT, TRUSTED)
    assert (found.time, found.witness, set(found.times)) == (AT, OTHER_NAME, set(TRUSTED))


def test_without_a_trusted_witness_it_is_unanchored() -> None:
    for data, witnesses in (
        (cosigned(line()), {}),
        (cosigned(), TRUSTED),
        (cosigned(line()), {"other.name": WITNESS.public}),
        (cosigned(line()), {NAME: SECOND.public}),
    ):
        with pytest.raises(UnanchoredError, match="name its key in your trust file"):
            verify_cosigned(data, CHECKPOINT, witnesses)


def wrong(signature: bytes) -> Line:
    return Line(NAME, key_id(NAME, TYPE_COSIGNATURE, WITNESS.public), signature)


@pytest.mark.parametrize(
    ("false", "reason"),
    [
        (lambda: line(checkpoint=replace(CHECKPOINT, size=24)), "is false"),
        (lambda: wrong(AT.to_bytes(8, "big") + bytes(64)), "is false"),
        (lambda: wrong((AT - 1).to_bytes(8, "big") + line().signature[8:]), "is false"),
        (lambda: wrong(line().signature[:-1]), "wrong size"),
        (lambda: wrong(line().signature + b"\x00"), "wrong size"),
        (lambda: wrong(line(at=2**63).signature), "is false"),
    ],
)
def test_one_false_line_of_a_trusted_key_spoils_the_note(false: object, reason: str) -> None:
    assert callable(false)
    with pytest.raises(VerificationError, match=reason) as refused:
        verify_cosigned(cosigned(line(OTHER_NAME, SECOND), false()), CHECKPOINT, TRUSTED)
    assert not isinstance(refused.value, UnanchoredError)


def test_a_witness_that_signs_twice_spoils_the_note() -> None:
    with pytest.raises(VerificationError, match="signed the note twice"):
        verify_cosigned(cosigned(line(), line(at=AT - 1)), CHECKPOINT, TRUSTED)


def test_a_log_signature_by_the_witness_s_key_is_no_cosignature() -> None:
    as_log = Line(NAME, key_id(NAME, TYPE_LOG, WITNESS.public), WITNESS.sign(CHECKPOINT.body))
    with pytest.raises(UnanchoredError):
        verify_cosigned(cosigned(as_log), CHECKPOINT, TRUSTED)


def test_the_note_is_of_the_checkpoint_asked_about() -> None:
    other = replace(CHECKPOINT, size=24)
    data = cosigned(line(checkpoint=other), checkpoint=other)
    with pytest.raises(VerificationError, match="another checkpoint"):
        verify_cosigned(data, CHECKPOINT, TRUSTED)


def test_as_an_anchor_a_trials_witness_proves_nothing() -> None:
    trusted = Trusted(witnesses={"w.test": WITNESS.public, NAME: SECOND.public})
    trial = cosigned(line("w.test"))
    with pytest.raises(VerificationError, match="--allow-development-chain"):
        verify_anchor("witness", CHECKPOINT, trial, trusted)
    marked = verify_anchor("witness", CHECKPOINT, trial, replace(trusted, development=True))
    assert (marked.time, marked.note, marked.development) == (AT, DEVELOPMENT_NOTE, True)
    both = cosigned(line("w.test", at=AT - 50), line(NAME, SECOND))
    for each in (trusted, replace(trusted, development=True)):
        real = verify_anchor("witness", CHECKPOINT, both, each)
        assert (real.where, real.time, real.note, real.development) == (NAME, AT, "", False)


@pytest.mark.parametrize(
    ("name", "reserved"),
    [
        ("witness.test/w1", True), ("a.b.example", True), ("localhost:80/x", True), ("W.TEST.", True),
        ("witness.example.com/w", True), ("example.org", True), ("x.invalid", True),
        ("witness.bank/w1", False), ("notexample.com", False), ("contest", False), ("test", False),
        ("witness.org/test", False),
    ],
)  # fmt: skip
def test_names_that_nobody_can_own(name: str, reserved: bool) -> None:
    assert is_reserved(name) is reserved


GOOD = cosigned(line()).decode()
DASH = "\N{EM DASH}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        GOOD.replace("\n\n", "\n").encode(),
        GOOD.removesuffix("\n").encode(),
        GOOD.replace(DASH, "-").encode(),
        GOOD.replace(f"{DASH} witness", f"{DASH}  witness").encode(),
        GOOD.replace(f"{DASH} witness.bank/w1 ", f"{DASH} ").encode(),
        GOOD.replace("witness.bank", "witness+bank").encode(),
        GOOD.replace("witness.bank", "witness\u00a0bank").encode(),
        GOOD.replace("\n", "\r\n").encode(),
        (GOOD + "trailing").encode(),
        (GOOD + "\n").encode(),
        GOOD.encode() + b"\xff\n",
        b"\xff" + GOOD.encode(),
        (GOOD + f"{DASH} x AAAA\n").encode(),
        (GOOD + f"{DASH} x AAAAAB==\n").encode(),
        (GOOD + f"{DASH} x A*AAAAAA\n").encode(),
        (GOOD + f"{DASH} x AAAAAAAA\n" * 64).encode(),
        ("x" * MAX_NOTE_SIZE + GOOD).encode(),
    ],
)
def test_what_is_no_note_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(NoteError) as refused:
        Note.parse(data)
    assert "\n" not in str(refused.value)
    with pytest.raises(VerificationError):
        verify_cosigned(data, CHECKPOINT, TRUSTED)


def test_checkpoints_in_another_form_are_refused() -> None:
    for text in (
        CHECKPOINT.body + b"extension\n",
        CHECKPOINT.body.replace(b"\n23\n", b"\n023\n"),
        b"\n" + CHECKPOINT.body,
    ):
        data = Note(text, (cosign(text, NAME, WITNESS, AT),)).encode()
        with pytest.raises(VerificationError, match="not a cosigned checkpoint"):
            verify_cosigned(data, CHECKPOINT, TRUSTED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "witness.bank/w1",
        "witness.bank/w1+00000000+" + b64encode(b"\x04" + WITNESS.public).decode(),
        verifier_key(NAME, TYPE_LOG, WITNESS.public),
        verifier_key(NAME, TYPE_COSIGNATURE, WITNESS.public) + " ",
        verifier_key(NAME, TYPE_COSIGNATURE, WITNESS.public)[:-4],
        verifier_key(NAME, TYPE_COSIGNATURE, WITNESS.public).replace("w1", "w2"),
    ],
)
def test_a_wrong_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_verifier_key(text, TYPE_COSIGNATURE)


def test_lines_of_an_answer_are_read_alone() -> None:
    lines = parse_lines((line().text + line(OTHER_NAME, SECOND).text).encode())
    assert cosignature_times(CHECKPOINT.body, lines, TRUSTED) == {NAME: AT, OTHER_NAME: AT}


def test_no_mutant_of_a_note_states_another_fact() -> None:
    dice = random.Random(5)
    original = cosigned(line())
    facts = verify_cosigned(original, CHECKPOINT, TRUSTED)
    accepted = 0
    for _ in range(3_000):
        mutant = bytearray(original)
        for _ in range(dice.randint(1, 3)):
            spot = dice.randrange(len(mutant))
            match dice.randrange(3):
                case 0:
                    mutant[spot] ^= 1 << dice.randrange(8)
                case 1:
                    del mutant[spot : spot + dice.randint(1, 8)]
                case _:
                    mutant[spot:spot] = mutant[spot : spot + dice.randint(1, 8)]
        try:
            found = verify_cosigned(bytes(mutant), CHECKPOINT, TRUSTED)
        except VerificationError:
            continue
        accepted += 1  # the log's own line changed: nothing of what is stated hangs on it
        assert found == facts
    assert 0 < accepted < 1_500
