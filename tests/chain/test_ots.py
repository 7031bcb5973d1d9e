"""Stamps and proofs: read and written as the reference does, and nothing false accepted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.anchor import DEVELOPMENT_NOTE, Trusted, UnanchoredError, VerificationError, verify_anchor
from chain.bitcoin import TIME_SLACK, Header, shown
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.ots import MAX_HEADERS, OtsProof, verify
from chain.ots_stamp import (
    APPEND,
    MAGIC,
    MAX_DEPTH,
    PREPEND,
    SHA256,
    Attestation,
    Operation,
    OtsError,
    Stamp,
    bitcoin,
    chain_of,
    decode_file,
    decode_stamp,
    pending,
)
from tests.bitcoin_chain import BitcoinChain
from tests.ots_calendar_server import way_into_block

CHECKPOINT = Checkpoint(bytes(range(32)), 100, sha256(b"root").digest())
DIGEST = sha256(CHECKPOINT.body).digest()
PUBLIC = "https://alice.btc.calendar.opentimestamps.org"
TWO_CALENDARS = bytes.fromhex(
    "004f70656e54696d657374616d7073000050726f6f6600bf89e2e884e892940108efaa174f68e59705757460f4f7d204bd2b535cfd194d9d94"
    "5418732129404ddbf010839037eef449dec6dac322ca97347c4508fff0106b4023b6edd3a0eeeb09e5d718723b9e08f10457d46515f008eadd"
    "66b1688d55740083dfe30d2ef90c8e2e2d68747470733a2f2f616c6963652e6274632e63616c656e6461722e6f70656e74696d657374616d70"
    "732e6f7267f010a3ad701ef9f10535a84968b5a99d858008f10457d46516f008647b90ea1b270a970083dfe30d2ef90c8e2c2b68747470733a"
    "2f2f626f622e6274632e63616c656e6461722e6f70656e74696d657374616d70732e6f7267"
)
"""A stamp of two public calendars, of August 2016: two-calendars.txt.ots among the stock client's examples."""

BLOCK_912095 = bytes.fromhex(
    "004f70656e54696d657374616d7073000050726f6f6600bf89e2e884e892940108c70972a12908b73c2407d9cc6842ba2a02203a690f3090"
    "cd29f30c45f0cfd93df163020000000235313bd4981d66791a3c5b95fb6bf143f44dfe1f1ccc3bd84ba92fe737603f160000000000fdffff"
    "ff37a768130a5606a66b1c097cd62254cc125983e2daa1401bc991f683689e45aa0000000000fdffffff020000000000000000226a20f023"
    "d25a0000000000001600144397729a7c13aa93436efb892c318c3b6f0716bcddea0d000808f020cf3c3c388af663193dff233c343c631b55"
    "3ed110844d09dcb5edfd227eb59ec30808f020ebc6f0710c90510b986ac8c60792f5e1cc5db0094739b7108733bebf6d4ab1b00808f020b5"
    "25e690ce5dadcc52281df4ab9e6dc1cb96b2a17ad05c13b3674d0ddaa783740808f0205b552b0e85fa0c49446a6fb5ffac97573d76f07468"
    "3b71bb03de754b5aa2a62b0808f1204b69c51e5fcde3d3505e74118a08df5f7ffeafd62f645f61f102a482e8a8c96a0808f1205f8d4aa339"
    "cc64f53c55f423256e3684db22286404e5cd7d0ce5c4ab7e3b41550808f020bdf6edd41ded014d47e3d6f54a6e5e7c984dff5c233de06d23"
    "0070ceeb3ec9830808f120e5daa667dadad1197fadcc772d99b0b3610eacb13ab3421bd8d8bfd624eea0a40808f120f9f1559cdff0a03e85"
    "7987024158305b4bddc19cbcaade76ade22400540fcd570808f020c905a8eaadcecdcbac36d17377f89abdd2f80ab739839a5e4c087cf6be"
    "e20faa0808f02085ddd3180d8dc34c26b5f7a47915e4fcbc22af82c02da37308fffc9e2fcfc8e60808f020b83aceee59189f210df3c553a8"
    "a584467728e0ae8b0b2a61be3803b88b6f32640808000588960d73d7190103dfd537"
)
"""Of August 2025, upgraded, in a block of the main chain: gdp2q25-2nd.pdf.ots among the same examples."""


class World:
    """A chain with the checkpoint's stamp in block 3, and others after it."""

    def __init__(self) -> None:
        self.chain = BitcoinChain()
        self.chain.mine(count=2)
        raw = self.chain.carrying(DIGEST)
        others = [self.chain.carrying(b"another") for _ in range(3)]
        assert self.chain.mine(*others, raw) == 3
        self.chain.mine(count=6)
        self.stamp = chain_of(DIGEST, way_into_block(self.chain, 3, raw, DIGEST, 4), bitcoin(3))
        self.proof = OtsProof(self.stamp.file(), 3, tuple(self.chain.headers[3:9]))
        self.blocks = {3: self.chain.hash(3)}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def changed(proof: OtsProof, **changes: object) -> OtsProof:
    fields: dict[str, object] = {"file": proof.file, "height": proof.height, "headers": proof.headers}
    return OtsProof(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name, as replace() takes them


def test_a_checkpoint_existed_no_later_than_the_block(world: World) -> None:
    trusted = Trusted(bitcoin_blocks=world.blocks, development=True)
    found = verify_anchor("ots", CHECKPOINT, world.proof.encode(), trusted)
    time = Header.decode(world.chain.headers[3]).time
    assert (found.kind, found.where, found.block) == ("ots", "bitcoin", 3)
    assert found.time == time + TIME_SLACK
    assert found.development
    assert found.note == DEVELOPMENT_NOTE


def test_a_later_trusted_hash_is_enough(world: World) -> None:
    assert verify(world.proof, CHECKPOINT.body, {8: world.chain.hash(8)}).pinned == 8


def test_a_trial_chain_does_not_pass_by_itself(world: World) -> None:
    with pytest.raises(VerificationError, match="DEVELOPMENT_CHAIN"):
        verify_anchor("ots", CHECKPOINT, world.proof.encode(), Trusted(bitcoin_blocks=world.blocks))


def test_nothing_trusted_shows_nothing(world: World) -> None:
    for trusted in ({}, {2: world.chain.hash(2)}, {9: world.chain.hash(9)}):
        with pytest.raises(UnanchoredError, match="UNANCHORED"):
            verify(world.proof, CHECKPOINT.body, trusted)


def test_a_promise_shows_nothing(world: World) -> None:
    promise = chain_of(DIGEST, [Operation(APPEND, b"nonce"), Operation(SHA256)], pending(PUBLIC))
    with pytest.raises(UnanchoredError, match="promise only"):
        verify(changed(world.proof, file=promise.file()), CHECKPOINT.body, world.blocks)


def test_an_unknown_attestation_shows_nothing(world: World) -> None:
    stamp = chain_of(DIGEST, [Operation(SHA256)], Attestation(bytes(8), b"whatever"))
    with pytest.raises(UnanchoredError):
        verify(changed(world.proof, file=stamp.file()), CHECKPOINT.body, world.blocks)


def _other_chain(_: World) -> OtsProof:
    forged = BitcoinChain(1)
    forged.mine(count=2)
    raw = forged.carrying(DIGEST)
    forged.mine(raw)
    stamp = chain_of(DIGEST, way_into_block(forged, 3, raw, DIGEST, 1), bitcoin(3))
    return OtsProof(stamp.file(), 3, (forged.headers[3],))


def _redated(world: World) -> OtsProof:
    stamp = chain_of(DIGEST, _way(world.stamp), bitcoin(2))
    return OtsProof(stamp.file(), 2, tuple(world.chain.headers[2:8]))


def _way(stamp: Stamp) -> list[Operation]:
    way = []
    while stamp.branches:
        operation, stamp = stamp.branches[0]
        way.append(operation)
    return way


FORGERIES: dict[str, tuple[str, Callable[[World], OtsProof]]] = {
    "header of one's own making": ("BITCOIN_WRONG_HASH", _other_chain),
    "dated to an earlier block": ("OTS_WRONG_ROOT", _redated),
    "height changed beside the stamp": ("OTS_OTHER_BLOCK", lambda world: changed(world.proof, height=2)),
    "header of another block": (
        "OTS_WRONG_ROOT",
        lambda world: changed(world.proof, headers=tuple(world.chain.headers[4:9])),
    ),
    "no header": ("OTS_WRONG_ROOT", lambda world: changed(world.proof, headers=())),
    "header with another time": (
        "BITCOIN_WORK|BITCOIN_WRONG_HASH",
        lambda world: changed(world.proof, headers=(_earlier(world.chain.headers[3]),)),
    ),
    "another Merkle path": (
        "OTS_WRONG_ROOT",
        lambda world: changed(
            world.proof,
            file=chain_of(DIGEST, [*_way(world.stamp)[:-4], *_way(world.stamp)[-2:]], bitcoin(3)).file(),
        ),
    ),
    "stamp of another file": (
        "OTS_OTHER_FILE",
        lambda world: changed(world.proof, file=chain_of(bytes(32), _way(world.stamp), bitcoin(3)).file()),
    ),
    "stamp that starts at the root": (
        "OTS_OTHER_FILE",
        lambda world: changed(
            world.proof, file=Stamp(Header.decode(world.chain.headers[3]).merkle_root, (bitcoin(3),)).file()
        ),
    ),
    "headers with a gap": (
        "BITCOIN_CHAIN_BROKEN",
        lambda world: changed(world.proof, headers=(world.chain.headers[3], world.chain.headers[5])),
    ),
}


def _earlier(header: bytes) -> bytes:
    time = int.from_bytes(header[68:72], "little") - 86_400
    return header[:68] + time.to_bytes(4, "little") + header[72:]


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_passes(world: World, name: str) -> None:
    code, forge = FORGERIES[name]
    trusted = {height: world.chain.hash(height) for height in range(2, 4)}
    with pytest.raises(VerificationError, match=code) as refusal:
        verify(forge(world), CHECKPOINT.body, trusted)
    assert not isinstance(refusal.value, UnanchoredError)
    assert "\n" not in str(refusal.value)


def test_every_flipped_bit_of_a_proof_is_noticed(world: World) -> None:
    """Of the stamp and the attested header; headers after it are not needed where its own hash is trusted."""
    proof = changed(world.proof, headers=world.proof.headers[:1])
    content = proof.encode()
    for place in range(len(content)):
        forged = bytearray(content)
        forged[place] ^= 1 << place % 8
        with pytest.raises(VerificationError):
            verify(OtsProof.decode(bytes(forged)), CHECKPOINT.body, world.blocks)


@pytest.mark.parametrize(
    ("code", "content"),
    [
        ("OTS_PROOF_FORM", b""),
        ("OTS_PROOF_FORM", b"\xc1"),
        ("OTS_PROOF_FORM", encode(["tally/ots_proof", 2, b"", 0, bytes(80)])),
        ("OTS_PROOF_FORM", encode(["tally/ots_proof", 1, b"", 0, bytes(79)])),
        ("OTS_PROOF_FORM", encode(["tally/ots_proof", 1, b"", 0, b""])),
        ("OTS_PROOF_FORM", encode(["tally/ots_proof", 1, b"", -1, bytes(80)])),
        ("OTS_PROOF_FORM", encode(["tally/ots_proof", 1, "", 0, bytes(80)])),
        ("OTS_PROOF_FORM", encode(["tally/ots_proof", 1, b"", True, bytes(80)])),
        ("OTS_PROOF_FORM", encode(["tally/ots_proof", 1, b"", 0, bytes(80 * (MAX_HEADERS + 1))])),
        ("OTS_PROOF_SIZE", bytes(500_000)),
    ],
)
def test_what_is_no_proof_is_refused(code: str, content: bytes) -> None:
    with pytest.raises(OtsError, match=code):
        OtsProof.decode(content)


def test_a_public_stamp_is_read_and_written_again() -> None:
    stamp = decode_file(TWO_CALENDARS)
    assert stamp.file() == TWO_CALENDARS
    assert [uri for _, uri in stamp.pending()] == [PUBLIC, "https://bob.btc.calendar.opentimestamps.org"]
    assert stamp.bitcoin() == []


def test_a_public_stamp_leads_to_its_block() -> None:
    """What the stock client says of it, too."""
    stamp = decode_file(BLOCK_912095)
    assert stamp.file() == BLOCK_912095
    [(root, height)] = stamp.bitcoin()
    assert height == 912_095
    assert shown(root) == "936131994129988e1932d8c1c6a9780fd42ae4c87204cfb0ac852be1250039ae"
    assert stamp.only(root, bitcoin(height)) == stamp


BODY = MAGIC + b"\x01\x08" + bytes(32)
BITCOIN_3 = b"\x00" + bytes.fromhex("0588960d73d71901") + b"\x01\x03"


@pytest.mark.parametrize(
    ("code", "content"),
    [
        ("OTS_NOT_A_STAMP", b""),
        ("OTS_CUT_SHORT", MAGIC),
        ("OTS_NOT_A_STAMP", b"\x00OpenTimestamps\x00\x00Pr00f"),
        ("OTS_NOT_A_STAMP", b"PK\x03\x04" + bytes(60)),
        ("OTS_VERSION", MAGIC + b"\x02\x08" + bytes(32) + BITCOIN_3),
        ("OTS_HASH", MAGIC + b"\x01\x02" + bytes(20) + BITCOIN_3),
        ("OTS_CUT_SHORT", BODY),
        ("OTS_CUT_SHORT", BODY + BITCOIN_3[:-1]),
        ("OTS_DATA_AFTER", BODY + BITCOIN_3 + b"\x00"),
        ("OTS_OPERATION", BODY + b"\x03" + BITCOIN_3),
        ("OTS_OPERATION", BODY + b"\xf2" + BITCOIN_3),
        ("OTS_OPERATION", BODY + b"\xff\xff" + BITCOIN_3),
        ("OTS_LENGTH", BODY + b"\xf0\x00" + BITCOIN_3),
        ("OTS_LENGTH", BODY + b"\xf0\x81\x20" + bytes(4097) + BITCOIN_3),
        ("OTS_MESSAGE_SIZE", BODY + b"\xf0\x80\x20" + bytes(4096) + BITCOIN_3),
        ("OTS_NUMBER", BODY + b"\xf0\xff\xff\xff\xff\xff\x01" + BITCOIN_3),
        ("OTS_NUMBER", BODY + b"\xf0\x81\x00a" + BITCOIN_3),
        ("OTS_TWICE", BODY + b"\xff\x08" + BITCOIN_3 + b"\x08" + BITCOIN_3),
        ("OTS_DEPTH", BODY + b"\x08" * (MAX_DEPTH + 1) + BITCOIN_3),
        ("OTS_SIZE", BODY + bytes(65_536)),
        ("OTS_SIZE", BODY + (b"\xff" + BITCOIN_3) * 5000 + BITCOIN_3),
        ("OTS_DATA_AFTER", BODY + BITCOIN_3[:-2] + b"\x02\x03\x03"),
        ("OTS_CALENDAR_NAME", BODY + b"\x00" + bytes.fromhex("83dfe30d2ef90c8e") + b"\x05\x04a?b="),
        ("OTS_LENGTH", BODY + b"\x00" + bytes(8) + b"\x81\x40" + bytes(8193)),
    ],
)
def test_what_is_no_stamp_is_refused(code: str, content: bytes) -> None:
    with pytest.raises(OtsError) as refusal:
        decode_file(content)
    assert refusal.value.code == code
    assert "\n" not in refusal.value.message


def test_the_longest_way_is_read() -> None:
    stamp = decode_file(BODY + b"\x08" * MAX_DEPTH + BITCOIN_3)
    assert len(stamp.bitcoin()) == 1


def test_stamps_of_one_message_are_joined_and_cut_again() -> None:
    first = chain_of(DIGEST, [Operation(APPEND, b"one"), Operation(SHA256)], pending(PUBLIC))
    second = chain_of(DIGEST, [Operation(APPEND, b"two"), Operation(SHA256)], pending(PUBLIC + "/a"))
    both = first.join(second)
    assert both == second.join(first)
    assert len(both.pending()) == 2
    assert decode_file(both.file()) == both
    message = first.pending()[0][0]
    grown = both.graft(chain_of(message, [Operation(SHA256)], bitcoin(7)))
    root, height = grown.bitcoin()[0]
    assert height == 7
    assert grown.pending() == both.pending()
    alone = grown.only(root, bitcoin(7))
    assert alone == chain_of(DIGEST, [*_way(first), Operation(SHA256)], bitcoin(7))
    assert grown.only(root, bitcoin(8)) is None
    assert grown.without(root, bitcoin(7)) == both
    assert first.without(message, pending(PUBLIC)) is None
    with pytest.raises(OtsError, match="OTS_OTHER_MESSAGE"):
        first.join(Stamp(bytes(32), (bitcoin(1),)))


ARGUMENTS = st.binary(min_size=1, max_size=40)
OPERATIONS = st.one_of(
    st.just(Operation(SHA256)),
    st.builds(Operation, st.sampled_from([APPEND, PREPEND]), ARGUMENTS),
)
ATTESTATIONS = st.one_of(
    st.builds(bitcoin, st.integers(0, 2**32 - 1)),
    st.builds(pending, st.text("abcz-._/:09", max_size=20)),
    st.builds(Attestation, st.sampled_from([bytes(8), b"\xff" * 8]), st.binary(max_size=300)),
)


@st.composite
def stamps(draw: st.DrawFn) -> Stamp:
    """Several ways from one message, joined."""
    message = draw(st.binary(min_size=32, max_size=32))
    ways = draw(st.lists(st.tuples(st.lists(OPERATIONS, max_size=6), ATTESTATIONS), min_size=1, max_size=6))
    joined = chain_of(message, *ways[0])
    for way in ways[1:]:
        joined = joined.join(chain_of(message, *way))
    return joined


@given(stamp=stamps())
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_again(stamp: Stamp) -> None:
    assert decode_file(stamp.file()) == stamp
    assert decode_stamp(stamp.message, stamp.encode()) == stamp


@given(content=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for start in (b"", BODY):
        try:
            decode_file(start + content)
        except OtsError:
            continue


_REFERENCE = """
import io, sys
from opentimestamps.core.serialize import StreamDeserializationContext as Reader, StreamSerializationContext as Writer
from opentimestamps.core.timestamp import DetachedTimestampFile
for line in sys.stdin:
    found = DetachedTimestampFile.deserialize(Reader(io.BytesIO(bytes.fromhex(line))))
    out = io.BytesIO()
    found.serialize(Writer(out))
    print(out.getvalue().hex(), len(list(found.timestamp.all_attestations())))
"""


@pytest.mark.slow
def test_the_reference_library_reads_and_writes_the_same() -> None:
    """In a process of its own: the library is LGPL, and no part of this program."""
    written: list[Stamp] = []

    @given(stamp=stamps())
    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    def collect(stamp: Stamp) -> None:
        written.append(stamp)

    collect()
    lines = "".join(stamp.file().hex() + "\n" for stamp in written)
    done = subprocess.run(
        [sys.executable, "-c", _REFERENCE], input=lines, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    for stamp, line in zip(written, done.stdout.splitlines(), strict=True):
        assert line == f"{stamp.file().hex()} {len(list(stamp.attested()))}"
