"""Sealed fields and files: opened one by one, bound to one value, hidden without the salt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain import merkle
from chain.codec import decode, encode
from chain.sealed import (
    PADDED,
    RAW_OVERHEAD,
    RawDocument,
    SealedBody,
    SealedNames,
    SealingError,
    decode_body,
    decode_raw,
    seal,
    seal_file,
)

SECRET = bytes(range(32))
KEY = ("invoice", "GB-COH:2", "I1")


def test_salts_differ_by_member_key_and_field() -> None:
    fields = {"a": "same", "b": "same"}
    salts = [
        salt
        for secret in (SECRET, bytes(32))
        for key in (("invoice", "i", "1"), ("invoice", "i", "2"), ("invoice", "i1", ""), ("invoice", "", "i1"))
        for _, salt, _ in seal(fields, key, secret).fields
    ]
    assert len(set(salts)) == len(salts) == 16
    assert {len(salt) for salt in salts} == {32}


def test_the_same_fields_twice_are_the_same_root_and_another_value_is_another() -> None:
    root = seal({"a": "1", "b": "2"}, KEY, SECRET).root
    assert seal({"b": "2", "a": "1"}, KEY, SECRET).root == root
    assert root not in (seal({"a": "1", "b": "3"}, KEY, SECRET).root, seal({"a": "1"}, KEY, SECRET).root)


def test_several_sealed_fields_open_one_by_one_and_rows_too() -> None:
    body = seal({"c": [["1", "x"]], "a": "1", "b": "2"}, KEY, SECRET)
    names = body.names()
    assert names.names == ("a", "b", "c")
    assert names.verify(body.root, KEY)
    for name in "abc":
        opening = body.open(name)
        assert opening.verify(body.root)
        assert names.admits(opening)
        assert opening.value == body.values[name]
    with pytest.raises(SealingError, match="no field 'd' is sealed here, only a, b, c") as caught:
        body.open("d")
    assert caught.value.code == "UNKNOWN_FIELD"


def test_an_opening_stands_for_one_value_of_one_field_at_one_place() -> None:
    body = seal({"a": "1", "b": "2", "c": "3"}, KEY, SECRET)
    opening = body.open("b")
    for wrong in (
        replace(opening, value="3"),
        replace(opening, name="a"),
        replace(opening, salt=bytes(32)),
        replace(opening, index=1),
        replace(opening, index=True),
        replace(opening, path=opening.path[:-1]),
    ):
        assert not wrong.verify(body.root)
    assert not opening.verify(seal({"a": "1", "b": "2", "c": "3"}, KEY, bytes(32)).root)


def test_a_field_that_was_sealed_twice_opens_to_neither_value() -> None:
    """Whoever makes the leaves by hand can commit to two values; the list of names admits no name twice."""
    twice = SealedBody(KEY, (("a", SECRET, "1"), ("a", SECRET, "2")))
    first, second = (replace(twice.open("a"), index=i, value=str(i)) for i in (1, 2))
    leaves = [encode(["tally/sealed_names", 1, *KEY, ["a", "a"]])]
    leaves += [encode(["tally/sealed_field", 1, "a", SECRET, value]) for value in "12"]
    first, second = (
        replace(found, path=tuple(merkle.prove(leaves, found.index)), count=3) for found in (first, second)
    )
    assert first.verify(twice.root)
    assert second.verify(twice.root)
    assert not twice.names().verify(twice.root, KEY)
    honest = SealedNames(("a",), twice.names().path)
    assert not honest.verify(twice.root, KEY)
    assert not (honest.admits(first) and honest.admits(second))


def test_the_list_of_names_stands_alone_under_its_root() -> None:
    body = seal({"a": "1", "b": "2"}, KEY, SECRET)
    names = body.names()
    for wrong in (
        replace(names, names=("a",)),
        replace(names, names=("b", "a")),
        replace(names, names=("a", "b", "c")),
        replace(names, names=()),
        replace(names, path=()),
    ):
        assert not wrong.verify(body.root, KEY)


def test_a_body_comes_back_only_for_its_own_root() -> None:
    body = seal({"a": "1", "lines": [["1", "", "", "", "", "9"]]}, KEY, SECRET)
    assert decode_body(body.encode(), body.root) == body
    other = seal({"a": "2"}, KEY, SECRET)
    for data, code in (
        (other.encode(), "WRONG_BODY"),
        (b"junk", "NO_SEALED_BODY"),
        (body.encode()[:-1], "NO_SEALED_BODY"),
        (encode(["tally/sealed_body", 1, *KEY, [["a", SECRET, "1"], ["a", SECRET, "2"]], b""]), "NO_SEALED_BODY"),
        (encode(["tally/sealed_body", 1, *KEY, [], b""]), "NO_SEALED_BODY"),
        (encode([*decode(body.encode())[:-1], b"not the zeros"]), "NO_SEALED_BODY"),
        (SealedBody(("invoice", "other", "9"), body.fields).encode(), "WRONG_BODY"),
        (encode(["tally/sealed_body", 2, *KEY, [["a", SECRET, "1"]], b""]), "NO_SEALED_BODY"),
    ):
        with pytest.raises(SealingError, match="sealed body") as caught:
            decode_body(data, body.root)
        assert caught.value.code == code
    with pytest.raises(SealingError, match="at least 32"):
        seal({"a": "1"}, KEY, bytes(31))


def test_the_size_of_a_body_does_not_tell_short_values_apart() -> None:
    sizes = {len(seal({"a": "x" * length}, KEY, SECRET).encode()) for length in range(1, 100)}
    assert len(sizes) == 1
    for length in (1, 200, 300, 4_000):
        assert len(seal({"a": "x" * length}, KEY, SECRET).encode()) % PADDED == 0


def test_a_file_is_named_by_a_hash_that_nobody_can_guess_their_way_to() -> None:
    raw = seal_file(b"<Invoice/>", SECRET)
    assert decode_raw(raw.encode()) == raw
    assert raw.hash == seal_file(b"<Invoice/>", SECRET).hash == RawDocument(raw.salt, b"<Invoice/>").hash
    others = [seal_file(b"<Invoice/>", bytes(32)), seal_file(b"<Invoice />", SECRET), RawDocument(b"", b"<Invoice/>")]
    assert len({raw.hash, *(other.hash for other in others)}) == 4
    for size in (0, 255, 65_536, 1_000_000):
        assert len(seal_file(bytes(size), SECRET).encode()) <= size + RAW_OVERHEAD
    for junk in (b"", b"<Invoice/>", encode(["tally/raw_document", 1, "text", b""]), raw.encode() + b"x"):
        with pytest.raises(SealingError, match="no raw document"):
            decode_raw(junk)
