"""The state tree: a root of the contents alone, proofs both ways, versions from rows, and nothing forged.

The reference is docs/adr/0004's definition written out: subtrees of at most sixteen entries are buckets, larger ones
branches of four by the next two bits of the key's hash.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.state import BUCKET_CAPACITY, EMPTY_ROOT, ProofError, StateError, StateTree, check_proof

CAPACITY = 16
KEYS = [b"key %d" % serial for serial in range(90)]


def reference_root(contents: dict[bytes, bytes]) -> bytes:
    entries = sorted(sha256(key).digest() + sha256(value).digest() for key, value in contents.items())
    return subtree(entries, 0)


def subtree(entries: list[bytes], level: int) -> bytes:
    if len(entries) <= CAPACITY:
        return sha256(b"\x00" + b"".join(entries)).digest()
    groups: list[list[bytes]] = [[], [], [], []]
    for entry in entries:
        bits = int.from_bytes(entry[:32], "big") >> (254 - 2 * level) & 3
        groups[bits].append(entry)
    return sha256(b"\x01" + b"".join(subtree(group, level + 1) for group in groups)).digest()


class Versions:
    """A tree whose rows are kept as the store keeps them: by path and height."""

    def __init__(self) -> None:
        self.rows: dict[tuple[bytes, int], bytes] = {}
        self.contents: list[dict[bytes, bytes]] = [{}]
        self.roots = [EMPTY_ROOT]
        self.tree = StateTree.empty()
        self.reads = 0

    @property
    def height(self) -> int:
        return len(self.roots) - 1

    def fetch_at(self, height: int) -> Callable[[bytes], bytes | None]:
        def fetch(path: bytes) -> bytes | None:
            self.reads += 1
            heights = [at for found, at in self.rows if found == path and at <= height]
            return self.rows[path, max(heights)] if heights else None

        return fetch

    def at(self, height: int) -> StateTree:
        return StateTree.load(self.fetch_at(height))

    def apply(self, changes: dict[bytes, bytes | None], *, reload: bool = False) -> None:
        """One more version; with ``reload`` from rows alone, as after a restart."""
        base = self.at(self.height) if reload else self.tree
        height = self.height + 1
        tree = base.updated(changes.items(), self.fetch_at(height))
        for path, row in tree.rows.items():
            self.rows[path, height] = row
        contents = dict(self.contents[-1])
        for key, value in changes.items():
            if value is None:
                contents.pop(key, None)
            else:
                contents[key] = value
        self.contents.append(contents)
        self.roots.append(tree.root)
        self.tree = tree


def filled(number: int) -> Versions:
    versions = Versions()
    versions.apply({key: b"value of " + key for key in KEYS[:number]})
    return versions


BATCHES = st.lists(
    st.tuples(st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=3), max_size=40), st.booleans()),
    max_size=8,
)


def test_capacity_and_the_empty_tree() -> None:
    assert BUCKET_CAPACITY == CAPACITY
    assert StateTree.empty().root == EMPTY_ROOT == sha256(b"\x00").digest() == reference_root({})
    assert StateTree.load(lambda _path: None).root == EMPTY_ROOT


@given(BATCHES)
@settings(max_examples=60)
def test_the_root_depends_on_the_contents_alone(batches: list[tuple[dict[bytes, bytes | None], bool]]) -> None:
    """Whatever the history, restarts included, the root is that of the definition; every version stays readable."""
    versions = Versions()
    for changes, reload in batches:
        versions.apply(changes, reload=reload)
    for height, contents in enumerate(versions.contents):
        assert versions.roots[height] == reference_root(contents)
        tree = versions.at(height)
        assert tree.root == versions.roots[height]
        for key in KEYS[::7]:
            check_proof(tree.root, key, contents.get(key), tree.prove(key))


@given(st.dictionaries(st.binary(max_size=4), st.binary(max_size=4), max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_one_write_at_a_time_in_any_order_is_the_same(contents: dict[bytes, bytes], chance: random.Random) -> None:
    items = list(contents.items())
    chance.shuffle(items)
    tree = StateTree.empty()
    for item in items:
        tree = tree.updated([item])
    assert tree.root == StateTree.empty().updated(contents.items()).root == reference_root(contents)


@pytest.mark.parametrize("number", [CAPACITY - 1, CAPACITY, CAPACITY + 1, 4 * CAPACITY, 4 * CAPACITY + 1, 90])
def test_splits_and_merges_around_the_capacity(number: int) -> None:
    versions = filled(number)
    for key in KEYS[:number]:
        versions.apply({key: None})
        assert versions.roots[-1] == reference_root(versions.contents[-1])
    assert versions.roots[-1] == EMPTY_ROOT
    for key in reversed(KEYS[:number]):
        versions.apply({key: b"value of " + key}, reload=True)
        assert versions.roots[-1] == reference_root(versions.contents[-1])
    assert versions.roots[-1] == versions.roots[1]


def test_a_tree_stays_as_it_is_when_others_are_made_from_it() -> None:
    """Several candidate blocks stand on one parent; the one that is not decided leaves nothing behind."""
    versions = filled(60)
    parent, root = versions.tree, versions.tree.root
    one = parent.updated([(KEYS[0], b"one"), (KEYS[70], b"new")])
    other = parent.updated([(key, None) for key in KEYS[:50]])
    assert len({root, one.root, other.root}) == 3
    assert parent.root == root
    for key, value in versions.contents[-1].items():
        check_proof(root, key, value, parent.prove(key))
    again = parent.updated([(KEYS[0], b"one"), (KEYS[70], b"new")])
    assert again.root == one.root
    assert again.rows == one.rows


def test_no_change_is_no_new_root() -> None:
    versions = filled(60)
    root = versions.tree.root
    assert versions.tree.updated([]).root == root
    assert versions.tree.updated([(b"absent", None)]).root == root
    assert versions.tree.updated([(KEYS[0], b"value of " + KEYS[0])]).root == root


def test_forgetting_changes_nothing_but_memory() -> None:
    versions = filled(90)
    for depth in range(4):
        shallow = versions.tree.forget(depth)
        assert shallow.root == versions.tree.root
        before = versions.reads
        for key in KEYS:
            assert shallow.prove(key) == versions.tree.prove(key)
        assert depth or versions.reads > before, "at depth 0 the nodes come from the rows again"
        changed = shallow.updated([(KEYS[3], None), (b"new", b"1")])
        assert changed.root == versions.tree.updated([(KEYS[3], None), (b"new", b"1")]).root


def test_loading_reads_only_what_a_path_needs() -> None:
    versions = Versions()
    versions.apply({b"entry %d" % serial: b"v" for serial in range(3_000)})
    versions.reads = 0
    tree = versions.at(1)
    assert versions.reads == 1
    proof = tree.prove(b"entry 7")
    assert versions.reads == 1 + len(proof[1])


# -- damage -----------------------------------------------------------------------------------------------


def test_every_changed_or_lost_row_is_noticed_when_it_is_read() -> None:
    versions = filled(90)
    keys = [*KEYS, *(b"absent %d" % serial for serial in range(40))]
    for path, height in list(versions.rows):
        row = versions.rows[path, height]
        for damaged in (
            None,
            row[:-1],
            b"",
            b"\x07" + row[1:],
            bytes([row[0]]) + bytes([row[-1] ^ 1]) * (len(row) - 1),
        ):
            if damaged is None:
                del versions.rows[path, height]
            else:
                versions.rows[path, height] = damaged
            noticed = False
            try:
                tree = versions.at(1)
                noticed = tree.root != versions.roots[1]
                for key in keys:
                    check_proof(versions.roots[1], key, versions.contents[1].get(key), tree.prove(key))
            except (StateError, ProofError):
                noticed = True
            assert noticed, (path, damaged)
            versions.rows[path, height] = row


# -- proofs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, CAPACITY, CAPACITY + 1, 90])
def test_presence_and_absence(number: int) -> None:
    versions = filled(number)
    root, contents = versions.roots[-1], versions.contents[-1]
    for key in [*KEYS, b"absent", b""]:
        proof = versions.tree.prove(key)
        value = contents.get(key)
        checked = check_proof(root, key, value, proof)
        assert (checked.key, checked.value) == (key, value)
        for lie in (None, b"", b"another value", b"value of " + key):
            if lie != value:
                with pytest.raises(ProofError):
                    check_proof(root, key, lie, proof)


def test_a_proof_is_of_its_key_and_root() -> None:
    versions = filled(90)
    versions.apply({KEYS[5]: b"changed"})
    proof = versions.at(1).prove(KEYS[5])
    check_proof(versions.roots[1], KEYS[5], b"value of " + KEYS[5], proof)
    with pytest.raises(ProofError):
        check_proof(versions.roots[2], KEYS[5], b"value of " + KEYS[5], proof)
    for other in KEYS[6:]:
        with pytest.raises(ProofError):
            check_proof(versions.roots[1], other, b"value of " + KEYS[5], proof)


def tampered(proof: list[Any]) -> Iterator[list[Any]]:
    """Every way to bend a proof: bits, entries, siblings and levels changed, lost, doubled, swapped."""
    entries, siblings = proof
    rows = [entries[at : at + 64] for at in range(0, len(entries), 64)]
    for place in range(0, len(entries), 3):
        yield [entries[:place] + bytes([entries[place] ^ 1]) + entries[place + 1 :], siblings]
    for place in range(len(rows)):
        yield [b"".join(rows[:place] + rows[place + 1 :]), siblings]
        yield [b"".join([*rows[: place + 1], *rows[place:]]), siblings]
    if len(rows) > 1:
        yield [b"".join(reversed(rows)), siblings]
    yield [entries + bytes(64), siblings]
    yield [entries + bytes(1), siblings]
    yield [b"", siblings]
    for level in range(len(siblings)):
        others = siblings[level]
        for place in range(3):
            bent = [*others[:place], bytes([others[place][0] ^ 128]) + others[place][1:], *others[place + 1 :]]
            yield [entries, [*siblings[:level], bent, *siblings[level + 1 :]]]
            yield [entries, [*siblings[:level], [*others[:place], b"", *others[place + 1 :]], *siblings[level + 1 :]]]
        if others != others[::-1]:
            yield [entries, [*siblings[:level], others[::-1], *siblings[level + 1 :]]]
        yield [entries, [*siblings[:level], others[:2], *siblings[level + 1 :]]]
        yield [entries, [*siblings[:level], [*others, bytes(32)], *siblings[level + 1 :]]]
        yield [entries, [*siblings[:level], b"".join(others), *siblings[level + 1 :]]]
        yield [entries, [*siblings[:level], *siblings[level + 1 :]]]
        yield [entries, [*siblings[: level + 1], *siblings[level:]]]
    yield [entries, [*siblings, [bytes(32)] * 3]]
    yield [entries, [[bytes(32)] * 3] * 200]


@pytest.mark.parametrize("number", [3, CAPACITY, 90])
@pytest.mark.parametrize("key", [KEYS[1], b"absent"])
def test_no_tampered_proof_is_accepted(number: int, key: bytes) -> None:
    versions = filled(number)
    root, value = versions.roots[-1], versions.contents[-1].get(key)
    proof = versions.tree.prove(key)
    check_proof(root, key, value, proof)
    tried = 0
    for bent in tampered(proof):
        tried += 1
        with pytest.raises(ProofError):
            check_proof(root, key, value, bent)
        with pytest.raises(ProofError):
            check_proof(root, key, None if value is not None else b"a value", bent)
    assert tried > 60


@pytest.mark.parametrize(
    "proof",
    [
        None,
        [],
        {},
        b"",
        [b""],
        [b"", []][::-1],
        [[], []],
        ["", []],
        [b"", {}],
        [b"", [], []],
        [b"", [None]],
        [b"", [5]],
    ],
    ids=range(12),
)
def test_what_is_no_proof(proof: Any) -> None:
    with pytest.raises(ProofError):
        check_proof(reference_root({b"a": b"1"}), b"a", b"1", proof)


def test_a_branch_is_no_bucket() -> None:
    """Four child digests are as long as two entries: the tags keep a branch from passing as a bucket."""
    versions = filled(90)
    entries, siblings = versions.tree.prove(KEYS[0])
    digest = sha256(b"\x00" + entries).digest()
    slot = sha256(KEYS[0]).digest()[0] >> 6
    for level in range(len(siblings) - 1, 0, -1):
        place = int.from_bytes(sha256(KEYS[0]).digest(), "big") >> (254 - 2 * level) & 3
        digest = sha256(b"\x01" + b"".join([*siblings[level][:place], digest, *siblings[level][place:]])).digest()
    branch = b"".join([*siblings[0][:slot], digest, *siblings[0][slot:]])
    assert sha256(b"\x01" + branch).digest() == versions.roots[-1]
    with pytest.raises(ProofError):
        check_proof(versions.roots[-1], KEYS[0], None, [branch, []])


def test_a_ground_out_prefix_makes_only_its_own_path_longer() -> None:
    """Keys sought until their hashes begin alike: the tree stays correct, and other keys' paths stay short."""
    ground: list[bytes] = []
    for serial in count():
        key = b"ground %d" % serial
        if int.from_bytes(sha256(key).digest()[:2], "big") >> 4 == 0xABC:
            ground.append(key)
            if len(ground) == CAPACITY + 4:
                break
    versions = filled(40)
    plain = max(len(versions.tree.prove(key)[1]) for key in KEYS[:40])
    versions.apply(dict.fromkeys(ground, b"v"))
    assert versions.roots[-1] == reference_root(versions.contents[-1])
    for key in ground:
        proof = versions.tree.prove(key)
        assert len(proof[1]) >= 6
        check_proof(versions.roots[-1], key, b"v", proof)
    others = [key for key in KEYS[:40] if sha256(key).digest()[0] >> 4 != 0xA]
    assert max(len(versions.tree.prove(key)[1]) for key in others) <= plain + 1
    versions.apply(dict.fromkeys(ground[4:]))
    assert versions.roots[-1] == reference_root(versions.contents[-1])
