"""Checks of the bundle's public time: anchors, the log that leads to them, and what times can be."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from chain import evm, merkle
from chain.checkpoint import leaf, verify_consistency
from chain.verification import VerificationError
from tallystick.evidence.case import Case
from tallystick.evidence.words import moment, span

SKEW_S: Final = 2 * 3_600
"""How far a block's time may lie after a public time that already had its hash: Bitcoin's clocks differ so much."""


def anchors(case: Case) -> list[str]:
    """No anchor is false: each stands outside as it says, or nothing that the verifier trusts decides it."""
    lines = []
    for outside in case.outside:
        where = f"anchors/{outside.anchor.name} ({outside.anchor.kind}, {outside.anchor.checkpoint.size} blocks)"
        if outside.false:
            raise VerificationError(f"{where}: {outside.false}")
        if outside.existed is None:
            lines.append(f"{where} counts for nothing here: {outside.unanchored}")
        else:
            note = f" — {outside.existed.note}" if outside.existed.note else ""
            lines.append(f"{where} stood at {outside.existed.where} on {moment(outside.existed.time * 1_000)}{note}")
    return lines or ["the bundle carries no anchor"]


def log(case: Case) -> list[str]:
    """Every path leads from a proved block to the root of an anchored checkpoint."""
    known = {anchor.name: anchor for anchor in case.anchors}
    rows = case.paths["inclusion"]
    for row in rows:
        height, anchor = row["height"], known.get(row["anchor"])
        if anchor is None or height not in case.blocks or type(height) is not int:
            raise VerificationError(f"{_where(row)} leads from or to what is not in the bundle")
        path = [bytes.fromhex(node) for node in row["path"]]
        for block in case.blocks[height]:
            data = leaf(case.network_id, height, block.digest, block.certificate_hash)
            if not merkle.verify(anchor.checkpoint.root, data, height - 1, anchor.checkpoint.size, path):
                raise VerificationError(f"{_where(row)}: block {height} is not in the anchored log")
    return [f"{len(rows)} paths lead from proved blocks to the roots of the anchored checkpoints"]


def growth(case: Case) -> list[str]:
    """The anchored checkpoints are of one history: each only grew from the one before."""
    ordered = sorted(case.anchors, key=lambda anchor: anchor.checkpoint.size)
    given = {(row["older"], row["newer"]): row["path"] for row in case.paths["consistency"]}
    for older, newer in pairwise(ordered):
        path = [bytes.fromhex(node) for node in given.get((older.name, newer.name), [])]
        old, new = older.checkpoint, newer.checkpoint
        if not verify_consistency(old.size, old.root, new.size, new.root, path):
            raise VerificationError(
                f"checkpoint anchors/{newer.name} did not grow from anchors/{older.name}: two histories were anchored"
            )
    return [f"{len(ordered)} checkpoints, each grown from the one before"]


def public(case: Case) -> list[str]:
    """Something outside that the verifier trusts had every block of the bundle. Raises UnanchoredError."""
    if not case.blocks:
        raise VerificationError("the bundle proves nothing")
    times = case.existed
    bare = sorted(height for height in case.blocks if height not in times)
    led = {row["height"] for row in case.paths["inclusion"]}
    if bare and bare[-1] not in led:
        raise evm.UnanchoredError(
            f"UNANCHORED: no anchor in the bundle covers block {bare[-1]}: have it exported again once it is anchored"
        )
    if bare:
        raise evm.UnanchoredError(
            f"UNANCHORED: nothing that you trust shows that block {bare[-1]} existed: give --trust the public block "
            "hashes and senders, or the roots of the time-stamp authorities, from a source of your own"
        )
    lines = [f"all {len(times)} blocks of the bundle existed no later than {moment(max(times.values()) * 1_000)}"]
    gap, height = max((times[height] - rows[0].time // 1_000, height) for height, rows in case.blocks.items())
    lines.append(f"the public time of a block is at most {span(gap)} after its own (block {height})")
    if case.development:
        lines.append("a development chain stands in for a public one: OF NO EVIDENTIAL VALUE")
    return lines


def times(case: Case) -> list[str]:
    """Times fit: blocks of greater height are not earlier, none is later than a public time that already had it."""
    latest = 0
    for height in sorted(case.blocks):
        for block in case.blocks[height]:
            if block.time < latest:
                raise VerificationError(f"block {height} is dated before a block below it")
            latest = block.time
            seen = case.existed.get(height)
            if seen is not None and block.time > (seen + SKEW_S) * 1_000:
                raise VerificationError(
                    f"block {height} is dated {moment(block.time)}, yet it was seen outside on {moment(seen * 1_000)}"
                )
    if case.now is not None and latest > (case.now + SKEW_S) * 1_000:
        raise VerificationError(f"the newest block is dated {moment(latest)}, which is to come: set this clock")
    return [f"block times ascend up to {moment(latest)} and fit the public times"]


def _where(row: dict[str, Any]) -> str:
    return f"the path of block {str(row['height'])[:20]} to anchors/{str(row['anchor'])[:20]}"
