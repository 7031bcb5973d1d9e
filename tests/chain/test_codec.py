"""One byte string for each value, and no other bytes accepted: PROTOCOL.md, Encoding and signatures."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from enum import IntEnum
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.codec import MAX_DEPTH, CodecError, decode, encode, encode_key, is_tagged, known_key

INTEGERS = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.none() | st.booleans() | INTEGERS | st.text() | st.binary()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)

SAMPLE: dict[str, Any] = {
    "": None,
    "a": [True, False, 0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1],
    "b": [-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63)],
    "c": ["", "x" * 31, "é" * 16, "x" * 256, b"", b"\x00" * 40],
    "d": {"k": {"l": [[], {}]}, "é": "ß", "😀": 1},
    "e": list(range(20)),
}
TYPES = {"bool": bool, "int": int, "str": str, "bytes": bytes, "list": list, "dict": dict}


def same(one: Any, other: Any) -> bool:
    """Equality that keeps ``True`` and ``1`` apart, as the encoding does."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


@given(VALUES)
def test_every_value_comes_back_and_has_one_encoding(value: Any) -> None:
    data = encode(value)
    back = decode(data)
    assert same(back, value)
    assert encode(back) == data


@given(st.dictionaries(st.text(), INTEGERS), st.randoms(use_true_random=False))
def test_the_order_in_which_a_map_was_filled_does_not_matter(value: dict[str, int], chance: random.Random) -> None:
    items = list(value.items())
    chance.shuffle(items)
    assert encode(dict(items)) == encode(value)


@given(st.lists(st.text(), unique=True))
def test_keys_are_sorted_by_their_utf8_bytes(keys: list[str]) -> None:
    found = decode(encode(dict.fromkeys(keys, 0)))
    assert [key.encode() for key in found] == sorted(key.encode() for key in keys)


def test_tuples_are_arrays_and_lists_come_back() -> None:
    assert encode((1, ("a", b"b"))) == encode([1, ["a", b"b"]])
    assert decode(encode((1, ()))) == [1, []]


def test_the_bytes_are_plain_msgpack() -> None:
    assert encode(["tally/x", 1, None, True, b"\x01", {"b": -1, "a": 300}]).hex() == (
        "96a774616c6c792f7801c0c3c40101" + "82a161cd012ca162ff"
    )
    assert msgpack.unpackb(encode(SAMPLE)) == SAMPLE


# -- what has no canonical form ---------------------------------------------------------------------------


class Small(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        [0.5],
        {"a": {"b": [1.0]}},
        2**63,
        -(2**63) - 1,
        [2**64 - 1],
        {"a": 2**63},
        2**64,
        {1: "a"},
        {b"a": 1},
        {None: 1},
        {True: 1},
        {("a",): 1},
        {1, 2},
        Small.ONE,
        Text("a"),
        [Text("a")],
        {Text("a"): 1},
        bytearray(b"a"),
        memoryview(b"a"),
        object(),
        "\ud800",
        {"\ud800": 1},
        msgpack.Timestamp(1),
        msgpack.ExtType(5, b"x"),
        range(3),
        (item for item in [1]),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_what_has_no_canonical_form_is_refused_and_leaves_nothing_behind(value: Any) -> None:
    with pytest.raises(CodecError) as refusal:
        encode(value)
    assert "\n" not in str(refusal.value)
    assert encode([1, "a"]) == b"\x92\x01\xa1a", "the packer kept bytes of the value it refused"


def nested(depth: int, kind: str) -> Any:
    """A value of ``depth`` containers, one inside the other."""
    value: Any = 7
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_depth_is_capped_alike_on_both_sides(kind: str) -> None:
    deepest = nested(MAX_DEPTH, kind)
    assert decode(encode(deepest)) == deepest
    with pytest.raises(CodecError):
        encode(nested(MAX_DEPTH + 1, kind))
    with pytest.raises(CodecError, match="deep"):
        decode(msgpack.packb(nested(MAX_DEPTH + 1, kind)))
    with pytest.raises(CodecError):
        decode(msgpack.packb(nested(3, kind)), max_depth=2)
    assert decode(msgpack.packb(nested(2, kind)), max_depth=2)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(CodecError):
        encode(value)


@pytest.mark.parametrize("depth", [17, 500, 1_023, 1_024, 1_025, 100_000])
@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01"])
def test_any_depth_of_bytes_is_an_error_and_no_crash(opening: bytes, depth: int) -> None:
    with pytest.raises(CodecError):
        decode(opening * depth + b"\x01")


# -- what is refused in bytes -----------------------------------------------------------------------------

REFUSED = {
    "no bytes": "",
    "float 32": "ca3f800000",
    "float 64": "cb3ff0000000000000",
    "float in an array": "9101".replace("01", "ca3f800000"),
    "float in a map": "81a161cb3ff0000000000000",
    "fixext 1": "d40500",
    "fixext 4 timestamp": "d6ff00000000",
    "fixext 8 timestamp": "d7ff0000000000000000",
    "ext 8 timestamp": "c70cff" + "00" * 12,
    "fixext 16": "d805" + "00" * 16,
    "ext 16": "c8000105" + "00",
    "ext 32": "c90000000105" + "00",
    "empty ext": "c70005",
    "timestamp as a key": "81d6ff0000000001",
    "never used byte": "c1",
    "uint 8 for 1": "cc01",
    "uint 8 for 127": "cc7f",
    "uint 16 for 1": "cd0001",
    "uint 16 for 255": "cd00ff",
    "uint 32 for 65535": "ce0000ffff",
    "uint 64 for 2**32 - 1": "cf00000000ffffffff",
    "uint 64 above 2**63 - 1": "cf8000000000000000",
    "uint 64, all ones": "cfffffffffffffffff",
    "uint 64, all ones, in a map": "81a161cfffffffffffffffff",
    "int 8 for 1": "d001",
    "int 8 for -1": "d0ff",
    "int 8 for -32": "d0e0",
    "int 16 for -128": "d1ff80",
    "int 16 for 200": "d100c8",
    "int 32 for -32768": "d2ffff8000",
    "int 64 for -2**31": "d3ffffffff80000000",
    "int 64 for 5": "d30000000000000005",
    "str 8 for 1 character": "d90161",
    "str 8 for 31 characters": "d91f" + "61" * 31,
    "str 16 for 255 characters": "da00ff" + "61" * 255,
    "str 32 for 1 character": "db0000000161",
    "bin 16 for 1 byte": "c5000101",
    "bin 32 for 1 byte": "c60000000101",
    "array 16 for 1 item": "dc000101",
    "array 16 for 15 items": "dc000f" + "01" * 15,
    "array 32 for 1 item": "dd0000000101",
    "map 16 for 1 item": "de0001a16101",
    "map 32 for 1 item": "df00000001a16101",
    "unsorted keys": "82a16201a16101",
    "longer key before shorter": "82a2616101a16101",
    "key repeated": "82a16101a16102",
    "key repeated with the same value": "82a16101a16101",
    "key repeated deep inside": "9181a16182a16201a16201",
    "integer key": "810101",
    "nil key": "81c001",
    "bytes key": "81c4016101",
    "bool key": "81c301",
    "array key": "819001",
    "array with items as a key": "81910101",
    "map key": "818001",
    "array key inside an array": "91818001",
    "str that is not UTF-8": "a1ff",
    "str with an overlong form": "a2c080",
    "str with a surrogate": "a3eda080",
    "key that is not UTF-8": "81a1ff01",
    "trailing byte": "0100",
    "trailing value": "9190c0",
    "two values": "a161a162",
    "array short of one item": "9201",
    "map short of its value": "81a161",
    "str short of one byte": "a26",
    "str short of two bytes": "a361",
    "bin short": "c40201",
    "uint 16 short": "cd01",
    "array 32 header alone": "ddffffffff",
    "map 32 header alone": "dfffffffff",
    "str 32 header alone": "dbffffffff",
    "bin 32 header alone": "c6ffffffff",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_forms_are_refused(name: str) -> None:
    text = REFUSED[name]
    with pytest.raises(CodecError) as refusal:
        decode(bytes.fromhex(text if len(text) % 2 == 0 else text + "1"))
    assert "\n" not in str(refusal.value)


def test_size_is_capped_before_anything_is_decoded() -> None:
    data = encode(b"x" * 100)
    assert decode(data, max_size=len(data)) == b"x" * 100
    with pytest.raises(CodecError, match=f"{len(data)} bytes where at most {len(data) - 1}"):
        decode(data, max_size=len(data) - 1)


@pytest.mark.parametrize("opening", [b"\xdd", b"\xdf"], ids=["arrays", "maps"])
@pytest.mark.parametrize("size", [4_000, 65_000, 1_000_000])
def test_claimed_lengths_allocate_nothing_before_they_are_checked(opening: bytes, size: int) -> None:
    """A thousand headers that each claim as many items as there are bytes: 8 bytes an item and header otherwise."""
    key = b"\xa1a" if opening == b"\xdf" else b""
    headers = (opening + struct.pack(">I", size - 12_000 if size > 12_000 else 500) + key) * 1_000
    data = (headers + b"\x01" * size)[:size]
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(CodecError):
        decode(data)
    spent = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000 + 16 * size
    assert spent < 0.2


def test_large_honest_messages_pass() -> None:
    value = [random.Random(1).randbytes(900) for _ in range(3_000)]
    assert decode(encode(value)) == value
    wide = {f"{index:05}": [index] * 3 for index in range(20_000)}
    assert decode(encode(wide)) == wide


@given(VALUES)
def test_messages_that_look_like_a_bomb_are_walked_and_pass(value: Any) -> None:
    """Bytes full of what could be array headers: the walk must know every form, or honest blocks would be refused."""
    packed = [b"\xdd" * 2_000, value, SAMPLE, [[index] * 20 for index in range(20)]]
    assert same(decode(encode(packed)), packed)


@pytest.mark.parametrize("size", [0, 2_000])
def test_every_truncation_is_refused(size: int) -> None:
    data = encode([b"\xdd" * size, SAMPLE])
    for stop in range(size, len(data)):
        with pytest.raises(CodecError):
            decode(data[:stop])


def test_every_trailing_byte_is_refused() -> None:
    data = encode([1, "a"])
    for byte in range(256):
        with pytest.raises(CodecError):
            decode(data + bytes([byte]))


def accepts_only_canonical(data: bytes) -> bool:
    """Whether the bytes were accepted; they then are the encoding of what they decode to."""
    try:
        value = decode(data)
    except CodecError:
        return False
    assert encode(value) == data
    return True


def test_every_change_of_one_byte_is_another_value_or_an_error() -> None:
    value = ["tally/x", 1, {"a": [True, 1, -5, 300], "b": "text", "c": b"\x00\xcf\x80"}, 2**40, None]
    data = encode(value)
    accepted = 0
    for place in range(len(data)):
        for byte in range(256):
            if byte != data[place]:
                changed = data[:place] + bytes([byte]) + data[place + 1 :]
                accepted += accepts_only_canonical(changed)
    assert accepted > 1_000, "the mutations that only change a value must be accepted"


@given(VALUES, st.randoms(use_true_random=False))
def test_changed_inserted_and_lost_bytes(value: Any, chance: random.Random) -> None:
    data = bytearray(encode(value))
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(3):
            case 0:
                data[place:place] = chance.randbytes(1)
            case 1:
                del data[place : place + 1]
            case _:
                data[place : place + 1] = chance.randbytes(1)
    accepts_only_canonical(bytes(data))


@given(st.binary(max_size=200))
def test_noise_is_a_canonical_value_or_a_codec_error(data: bytes) -> None:
    accepts_only_canonical(data)


@pytest.mark.parametrize("tag", [True, 1.0, "1", None, 2])
def test_a_version_is_the_integer_itself(tag: Any) -> None:
    """``True == 1`` in Python: without the exact test two byte strings would mean one structure."""
    assert is_tagged(["tally/x", 1, 5], "tally/x", 1, 3)
    assert not is_tagged(["tally/x", tag, 5], "tally/x", 1, 3)


def test_a_tag_is_for_its_length_and_name() -> None:
    assert not is_tagged(["tally/x", 1], "tally/x", 1, 3)
    assert not is_tagged(["tally/y", 1, 5], "tally/x", 1, 3)
    assert not is_tagged({"0": "tally/x"}, "tally/x", 1, 3)
    assert not is_tagged([], "tally/x", 1, 3)
    assert not is_tagged(None, "tally/x", 1, 3)


def test_a_remembered_key_is_the_key_and_what_is_no_key_stays_none() -> None:
    """``True == 1 == 1.0`` in Python: what is remembered of one must not answer for the other."""
    for _ in range(2):
        assert known_key("a", 1, b"b") == encode_key(("a", 1, b"b")) == encode(["a", 1, b"b"])
        for part in (True, 1.0, None):
            with pytest.raises(CodecError):
                known_key("a", part, b"b")


@pytest.mark.parametrize("item", [None, [], [b"", []]])
def test_more_values_than_a_caller_allows_are_refused_unread(item: Any) -> None:
    """A frame of empty arrays costs a microsecond a byte to read: a loop that votes must not."""
    data = encode(["tally/x", 1, [item] * 300_000])
    began = time.perf_counter()
    with pytest.raises(CodecError, match="more than 1000 values"):
        decode(data, max_items=1000)
    assert time.perf_counter() - began < 0.02
    assert decode(data) == ["tally/x", 1, [item] * 300_000]


def test_as_many_values_as_a_caller_allows_are_read() -> None:
    value = [bytes(2000), ["a", 1, {"k": None}], [5] * 10]
    items = 1 + 3 + 3 + 1 + 1 + 10  # of a map, keys count as well
    assert decode(encode(value), max_items=items) == value
    with pytest.raises(CodecError, match="more than"):
        decode(encode(value), max_items=items - 1)
