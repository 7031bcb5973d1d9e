"""The sorted map in the state against a sorted list: neighbours, order, bounded pages, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import ordered
from contracts.ordered import Entry, Neighbours, OrderedMap, Run
from tests.contracts.memory_context import Ledger, MemoryContext

STEP = st.tuples(st.integers(0, 40), st.booleans())  # a key, and whether the transaction ends after it


class Same:
    """A map and a list that are changed alike; each transaction opens the map again."""

    def __init__(self) -> None:
        self.ledger = Ledger({}, {"members": [{"id": "erp"}]})
        self.keys: list[bytes] = []
        self.begin()

    def begin(self) -> None:
        self.context = MemoryContext(self.ledger, "erp", "records")
        self.map = OrderedMap(self.context, "series", "E")

    def commit(self) -> None:
        self.map.write()
        state = self.ledger.state["erp"]
        for key, value in self.context.writes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        self.begin()

    def toggle(self, number: int) -> None:
        key = number.to_bytes(8, "big")
        if key in self.keys:
            at = self.keys.index(key)
            self.keys.remove(key)
            found = self.map.remove(key)
        else:
            at = sum(other < key for other in self.keys)
            found = self.map.insert(key, f"value {number}")
            assert found == self.around(at - 1, at)
            self.keys.insert(at, key)
            return
        assert found == self.around(at - 1, at)

    def insert(self, entries: list[tuple[bytes, str]]) -> list[Run]:
        return list(self.map.insert_many([Entry(*entry) for entry in entries]))

    def insert_many(self, numbers: set[int]) -> None:
        """Those not there yet, at once; each run stands between the neighbours that the list says."""
        keys = sorted({number.to_bytes(8, "big") for number in numbers} - set(self.keys))
        runs = self.insert([(key, f"value {int.from_bytes(key, 'big')}") for key in keys])
        assert [run.first for run in runs] == [0, *(run.last for run in runs)][: len(runs)]
        assert not runs or runs[-1].last == len(keys)
        for before, first, last, after in runs:
            at = sum(other < keys[first] for other in self.keys)
            assert (before, after) == self.around(at - 1, at)
            self.keys[at:at] = keys[first:last]
        assert self.keys == sorted(self.keys)

    def around(self, before: int, after: int) -> Neighbours:
        def entry(at: int) -> Entry | None:
            if not 0 <= at < len(self.keys):
                return None
            return Entry(self.keys[at], f"value {int.from_bytes(self.keys[at], 'big')}")

        return Neighbours(entry(before), entry(after))

    def check(self) -> None:
        """The pages in the state hold exactly the list, in order, and none is too large or unreachable."""
        pages = {key[2]: value for key, value in self.ledger.items("erp", "records").items()}
        reached: list[int] = []
        assert self.walk(pages, 0, reached) == [(key, f"value {int.from_bytes(key, 'big')}") for key in self.keys]
        assert sorted(reached) == sorted(pages)
        assert all(0 < len(page[1]) == len(page[2]) <= ordered.PAGE for page in pages.values())

    def walk(self, pages: dict[int, Any], number: int, reached: list[int]) -> list[tuple[bytes, Any]]:
        if not pages:
            return []
        reached.append(number)
        level, keys, items = pages[number][:3]
        if level == 0:
            return list(zip(keys, items, strict=True))
        assert all(pages[item][0] == level - 1 for item in items)
        return [entry for item in items for entry in self.walk(pages, item, reached)]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered, "PAGE", 4)


@pytest.mark.usefixtures("small_pages")
class TestSmallPages:
    @settings(max_examples=150, deadline=None)
    @given(st.lists(STEP, max_size=120))
    def test_any_history_leaves_the_same_as_a_sorted_list(self, steps: list[tuple[int, bool]]) -> None:
        same = Same()
        for number, ends in steps:
            same.toggle(number)
            if ends:
                same.commit()
                same.check()
        same.commit()
        same.check()
        for key in list(same.keys):
            same.toggle(int.from_bytes(key, "big"))
        same.commit()
        assert same.ledger.state["erp"] == {}

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(st.sets(st.integers(0, 200), max_size=60), st.integers(0, 200)), max_size=12))
    def test_many_at_once_leave_the_same_as_one_by_one(self, steps: list[tuple[set[int], int]]) -> None:
        same = Same()
        for numbers, other in steps:
            same.insert_many(numbers)
            for number in range(other, other + len(numbers) % 9):
                same.toggle(number)
            same.commit()
            same.check()

    @pytest.mark.parametrize("order", [range(300), range(299, -1, -1), [n * 7 % 300 for n in range(300)]])
    def test_many_levels_in_one_transaction(self, order: Any) -> None:
        same = Same()
        for number in order:
            same.toggle(number)
        same.commit()
        same.check()
        assert same.ledger.items("erp", "records")["series", "E", 0][0] >= 3


def test_what_comes_in_order_fills_its_pages() -> None:
    same = Same()
    for number in range(640):
        same.toggle(number)
    same.commit()
    pages = same.ledger.items("erp", "records")
    assert [len(pages["series", "E", number][1]) for number in pages["series", "E", 0][2]] == [32] * 20


def test_a_change_writes_only_the_pages_on_its_way() -> None:
    same = Same()
    for number in range(0, 40_000, 2):
        same.insert([(number.to_bytes(8, "big"), "")])
    same.commit()
    same.insert([((20_001).to_bytes(8, "big"), "")])
    same.map.write()
    assert len(same.context.writes) == 5  # three levels, full pages: two of them divided
    same.commit()
    same.insert([((20_003).to_bytes(8, "big"), "")])
    same.map.write()
    assert len(same.context.writes) == 1


def test_a_key_stands_once_and_only_what_is_there_is_removed() -> None:
    same = Same()
    same.toggle(1)
    with pytest.raises(AssertionError):
        same.insert([((1).to_bytes(8, "big"), "again")])
    with pytest.raises(AssertionError):
        same.map.remove((2).to_bytes(8, "big"))
