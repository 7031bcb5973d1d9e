"""Hash and signature rule, pinned by vectors: libraries differ on these, and a mixed network forks (PROTOCOL.md).

The small-order matrix is the one published with ZIP215; the numbered cases are those of "Taming the many EdDSAs"
(Chalkias, Garillot, Nikolaenko, 2020), made anew here with ``curve``.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import nacl.exceptions
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from chain.codec import encode
from chain.crypto import SigningKey, hash_value, sha256, verify
from tests.chain import curve
from tests.chain.curve import BASE, L, P, add, challenge, compress, encodings, multiply

# RFC 8032 § 7.1: seed, public key, message, signature.
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0"
        "595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eae"
        "b4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9"
        "716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423"
        "643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c"
        "138ac17ad9bef1177331a704",
    ),
]
KEY = SigningKey.from_seed(bytes(range(32)))
MESSAGE = b"the message"
SMALL = curve.small_order_points()
SMALL_ENCODINGS = [data for point in SMALL for data in encodings(point)]


def libsodium(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(public_key).verify(message, signature)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def test_sha256_and_the_hash_of_a_value() -> None:
    assert sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_value(["tally/x", 1, (2,)]) == sha256(encode(["tally/x", 1, [2]]))


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC8032, ids=["1", "2", "3", "SHA(abc)"])
def test_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey.from_seed(bytes.fromhex(seed))
    assert key.public == bytes.fromhex(public)
    assert key.sign(bytes.fromhex(message)) == bytes.fromhex(signature)
    assert verify(key.public, bytes.fromhex(message), bytes.fromhex(signature))
    assert not verify(key.public, bytes.fromhex(message) + b"\x00", bytes.fromhex(signature))


def test_one_bit_anywhere_ends_a_signature() -> None:
    signature = KEY.sign(MESSAGE)
    for place, bit in product(range(64), range(8)):
        changed = bytearray(signature)
        changed[place] ^= 1 << bit
        assert not verify(KEY.public, MESSAGE, bytes(changed))
    for place, bit in product(range(32), range(8)):
        other = bytearray(KEY.public)
        other[place] ^= 1 << bit
        assert not verify(bytes(other), MESSAGE, signature)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 63, 64, 65, 128])
def test_wrong_sizes_are_false_and_no_error(size: int) -> None:
    assert verify(bytes(size), MESSAGE, KEY.sign(MESSAGE)) is False
    if size != 64:
        assert verify(KEY.public, MESSAGE, bytes(size)) is False
        with pytest.raises(ValueError, match="32 bytes"):
            SigningKey.from_seed(bytes(size))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.binary(min_size=64, max_size=64))
@settings(max_examples=60)
def test_noise_is_judged_and_never_an_error(public: bytes, message: bytes, signature: bytes) -> None:
    assert verify(public, message, signature) is curve.zip215(public, message, signature)


def test_a_key_shows_its_public_half_only() -> None:
    assert KEY.seed.hex() not in repr(KEY)
    assert repr(KEY) == f"SigningKey(public={KEY.public.hex()})"
    assert SigningKey.generate().public != SigningKey.generate().public


# -- the rule: ZIP215 -------------------------------------------------------------------------------------


def test_the_small_order_points_and_their_encodings() -> None:
    """Eight points; three of them have further encodings: fourteen byte strings in all."""
    assert len(set(SMALL)) == 8
    assert all(multiply(8, point) == curve.IDENTITY for point in SMALL)
    assert len(SMALL_ENCODINGS) == len(set(SMALL_ENCODINGS)) == 14


def test_every_pair_of_small_order_encodings_with_zero_is_accepted() -> None:
    """The matrix published with ZIP215: A and R of small order, S = 0, accepted all 196; libsodium takes none."""
    verdicts = [
        (verify(a, b"Zcash", r + bytes(32)), libsodium(a, b"Zcash", r + bytes(32)))
        for a, r in product(SMALL_ENCODINGS, repeat=2)
    ]
    assert verdicts == [(True, False)] * 196


class Case(NamedTuple):
    public: bytes
    message: bytes
    signature: bytes
    accepted: bool


def _scalar(label: str) -> int:
    return int.from_bytes(sha256(label.encode()) * 2, "little") % L


def _signed(a: int, torsion_a: int, torsion_r: int, *, exact: bool, label: str) -> Case:
    """A = aB + torsion, R = rB + torsion and the S that meets the cofactored rule.

    With ``exact`` a message is sought with which the cofactorless rule is met as well, else one with which not.
    """
    public = compress(add(multiply(a, BASE), SMALL[torsion_a]))
    r = _scalar(label)
    commitment = compress(add(multiply(r, BASE), SMALL[torsion_r]))
    for serial in range(1_000):
        message = f"{label} {serial}".encode()
        k = challenge(commitment, public, message)
        if ((k * torsion_a + torsion_r) % 8 == 0) is exact:
            signature = commitment + ((r + k * a) % L).to_bytes(32, "little")
            return Case(public, message, signature, True)
    raise AssertionError("no message found")


def _unreduced_r(*, hashed_as_sent: bool) -> Case:
    """R = the identity in a form whose y is not below p; the challenge over those bytes, or over the reduced ones."""
    commitment = encodings(curve.IDENTITY)[1]
    assert int.from_bytes(commitment, "little") % 2**255 >= P
    a = _scalar("unreduced r")
    public = compress(multiply(a, BASE))
    k = challenge(commitment if hashed_as_sent else compress(curve.IDENTITY), public, MESSAGE)
    return Case(public, MESSAGE, commitment + (k * a % L).to_bytes(32, "little"), hashed_as_sent)


def _unreduced_a() -> Case:
    """A = a point of order 4 in a form whose y is not below p: [k]A vanishes under the cofactor, whatever k."""
    point = next(point for point in SMALL if point[1] == 0)
    public = next(data for data in encodings(point) if int.from_bytes(data, "little") % 2**255 >= P)
    r = _scalar("unreduced a")
    commitment = compress(multiply(r, BASE))
    return Case(public, MESSAGE, commitment + r.to_bytes(32, "little"), True)


def _raised(times: int) -> Case:
    """An honest signature with a multiple of L added to S."""
    signature = KEY.sign(MESSAGE)
    s = int.from_bytes(signature[32:], "little") + times * L
    return Case(KEY.public, MESSAGE, signature[:32] + s.to_bytes(32, "little"), times == 0)


def _zero_key() -> Case:
    """The identity as the key: S·B = R for any message. The rule takes it; genesis and registry refuse such keys."""
    return Case(compress(curve.IDENTITY), MESSAGE, compress(multiply(7, BASE)) + (7).to_bytes(32, "little"), True)


def _not_a_point(part: str) -> Case:
    number = next(n for n in range(2, 100) if curve.decompress(n.to_bytes(32, "little")) is None)
    data = number.to_bytes(32, "little")
    signature = KEY.sign(MESSAGE)
    if part == "A":
        return Case(data, MESSAGE, signature, False)
    return Case(KEY.public, MESSAGE, data + signature[32:], False)


A_SCALAR = _scalar("a")
CASES = {
    "honest": _raised(0),
    "0: A and R of small order, S = 0": Case(SMALL_ENCODINGS[3], MESSAGE, SMALL_ENCODINGS[5] + bytes(32), True),
    "1: A of small order, R mixed": _signed(0, 1, 3, exact=False, label="1"),
    "2: A mixed, R of small order": _signed(A_SCALAR, 1, 3, exact=False, label="2"),
    "3: A and R mixed, both rules met": _signed(A_SCALAR, 1, 3, exact=True, label="3"),
    "4: A and R mixed, only the cofactored rule met": _signed(A_SCALAR, 1, 3, exact=False, label="4"),
    "5: A mixed, R of order L, only the cofactored rule met": _signed(A_SCALAR, 1, 0, exact=False, label="5"),
    "R mixed, A of order L, only the cofactored rule met": _signed(A_SCALAR, 0, 1, exact=False, label="r"),
    "6: S + L": _raised(1),
    "7: S far above L": _raised(15),
    "8: R not reduced, hashed reduced": _unreduced_r(hashed_as_sent=False),
    "9: R not reduced, hashed as sent": _unreduced_r(hashed_as_sent=True),
    "11: A not reduced": _unreduced_a(),
    "the identity as a key": _zero_key(),
    "A is no point": _not_a_point("A"),
    "R is no point": _not_a_point("R"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_pinned_verdict(name: str) -> None:
    public, message, signature, accepted = CASES[name]
    assert verify(public, message, signature) is accepted
    assert curve.zip215(public, message, signature) is accepted, "the vector is not what its name says"


def test_the_cases_are_what_their_names_say() -> None:
    for name, (public, message, signature, accepted) in CASES.items():
        if "only the cofactored" in name:
            assert not curve.cofactorless(public, message, signature)
        if "both rules" in name:
            assert curve.cofactorless(public, message, signature)
        assert accepted or name[0] not in "0123459", name


def test_libsodium_disagrees_which_is_why_the_rule_is_pinned() -> None:
    disagreed = {
        name
        for name, (public, message, signature, accepted) in CASES.items()
        if libsodium(public, message, signature) is not accepted
    }
    assert {
        "the identity as a key",
        "4: A and R mixed, only the cofactored rule met",
        "5: A mixed, R of order L, only the cofactored rule met",
    } <= disagreed
    assert "honest" not in disagreed
    assert "6: S + L" not in disagreed
