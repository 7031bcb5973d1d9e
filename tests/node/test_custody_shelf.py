"""The vault as other nodes see it: what is made for them is made once, however many take it at the same time."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from node.custody import shelf as shelves
from node.custody.shelf import Shelf
from node.vault import Vault
from tests.custody_world import key

CUSTODIANS = ("guarantor", "lender", "office")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """The vault of erp with one deposit of one document."""
    clock = count(0.0, 10.0)
    opened = Vault.open(
        str(tmp_path / "store"),
        tmp_path / "local",
        [key("erp", "encryption")],
        member="erp",
        clock=lambda: next(clock),
    )
    opened.put(os.urandom(10_000))
    [deposit] = opened.ready()
    opened.roots(deposit.id, CUSTODIANS)
    opened.numbered(deposit.id, 0)
    return opened


def test_custodians_that_take_a_large_document_together_have_it_sealed_once_each(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    copy = vault.copy

    def counted(number: int, index: int, custodian: str) -> bytes:
        made.append(custodian)
        return copy(number, index, custodian)

    monkeypatch.setattr(vault, "copy", counted)
    monkeypatch.setattr(shelves, "CACHE_BYTES", 100)  # each copy is larger than all that is kept
    shelf = Shelf("erp", vault)
    pieces = [
        (custodian, shelf.piece("erp", 0, custodian, 0, offset, 1000))
        for offset in range(0, 10_000, 1000)
        for custodian in CUSTODIANS
    ]
    assert sorted(made) == list(CUSTODIANS)
    for custodian in CUSTODIANS:
        whole = b"".join(piece for of, piece in pieces if of == custodian)
        assert whole == copy(0, 0, custodian)[: len(whole)]
    vault.close()
