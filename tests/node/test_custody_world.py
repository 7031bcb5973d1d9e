"""Custody as a whole, deterministic: delivery, kills, losses, readers; real vaults and contract, no processes."""

from __future__ import annotations

import os
from pathlib import Path

from tests.custody_world import World, play


def test_documents_reach_every_custodian(tmp_path: Path) -> None:
    documents = [os.urandom(size) for size in (10, 5_000, 300_000)]

    async def story(world: World) -> None:
        await world.start()
        names = [world.members["erp"].vault.put(data) for data in documents]
        await world.until(lambda: world.complete("erp"), "complete")
        assert [world.members["erp"].vault.get(name) for name in names] == documents
        report = await world.members["erp"].custody.checker.check()
        assert report.complete
        assert report.objects == 3

    play(tmp_path, story)
