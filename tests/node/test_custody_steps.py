"""What a custodian does next about a deposit: every situation of chain and store."""

from __future__ import annotations

import pytest

from node.custody.book import DepositRow
from node.custody.custodian import Step, next_step
from node.custody.messages import MAX_PIECE
from node.custody.puller import ranges
from node.envelope import Entry

ME, OTHER = "me", "other"
BOTH = (ME, OTHER)


def row(held: dict[str, str], roots: tuple[str, ...] = BOTH) -> DepositRow:
    """A deposit; held: custodian to whose copy it holds."""
    of = {name: holder for name, holder in held.items() if name != holder}
    return DepositRow(0, 1, 1, {name: bytes(32) for name in roots}, dict.fromkeys(held, 1), of)


@pytest.mark.parametrize(
    ("held", "have", "step"),
    [
        ({}, set(), Step("pull", ME)),
        ({}, {ME}, Step("hold", ME)),
        ({ME: ME}, {ME}, Step("nothing")),
        ({ME: ME}, set(), Step("lost")),
        ({ME: OTHER}, set(), Step("lost")),
        ({}, {OTHER}, Step("hold", OTHER)),
        ({ME: OTHER}, {OTHER}, Step("pull", ME)),
        ({ME: OTHER}, {ME, OTHER}, Step("hold", ME)),
        ({ME: ME}, {ME, OTHER}, Step("delete")),
        ({ME: ME}, {OTHER}, Step("lost")),
        ({ME: ME}, {"stranger"}, Step("lost")),
    ],
)
def test_a_custodian(held: dict[str, str], have: set[str], step: Step) -> None:
    assert next_step(row(held), ME, have, BOTH) == step


@pytest.mark.parametrize(
    ("held", "have", "step"),
    [
        ({}, set(), Step("pull", ME)),
        ({ME: OTHER}, {OTHER}, Step("wait")),
    ],
)
def test_a_custodian_that_no_copy_was_made_for_yet(held: dict[str, str], have: set[str], step: Step) -> None:
    assert next_step(row(held, (OTHER,)), ME, have, BOTH) == step


@pytest.mark.parametrize(
    ("held", "have", "step"),
    [
        ({}, set(), Step("nothing")),
        ({ME: ME}, {ME}, Step("wait")),
        ({ME: ME}, set(), Step("lost")),
        ({ME: ME, OTHER: OTHER}, {ME}, Step("lost")),
        ({OTHER: OTHER}, {ME}, Step("delete")),
        ({OTHER: OTHER}, set(), Step("nothing")),
    ],
)
def test_one_that_is_custodian_no_more_keeps_until_the_others_have(
    held: dict[str, str], have: set[str], step: Step
) -> None:
    assert next_step(row(held), ME, have, (OTHER,)) == step


@pytest.mark.parametrize(
    "sizes", [[16], [MAX_PIECE], [MAX_PIECE + 1], [100_016] * 7, [20, 5 * MAX_PIECE, 30], [17] * 512]
)
@pytest.mark.parametrize("start", [0, 11])
def test_pieces_cover_everything_once_from_any_byte(sizes: list[int], start: int) -> None:
    entries = [Entry(bytes(32), size, bytes(32)) for size in sizes]
    offsets = [sum(sizes[:index]) for index in range(len(sizes))]
    at = start
    for index, offset, length in ranges(entries, 0, start):
        assert offsets[index] + offset == at
        assert 0 < length <= MAX_PIECE
        at += length
    assert at == sum(sizes)
    assert list(ranges(entries, len(sizes), 0)) == []
