"""What an auditor does: asks at a node that wrote none of it, takes proofs home, checks them when all is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cli.errors import DONE, UNVERIFIED, CliError
from cli.output import moment, write_file
from cli.story import Story
from cli.story_credit import LENDER, Paper
from cli.story_teller import typed
from contracts.access import CONSORTIUM
from node.processes import ROOT

EVIDENCE, VERIFIED, TRUST = "evidence", "verified", "trust.json"
VERIFY_S: Final = 120
SHOWN: Final = (36, 36, 12)
"""Lines of a verification that the terminal shows, by file, the last for all further ones; the whole is kept."""
PREFERRED: Final = ("invoice", "credit_note", "receipt", "contract")
"""Kinds of record to take a proof of, best first."""


@dataclass
class Audit:
    """The auditor's part. ``files``: what was exported, with what each proves; ``verified``: those that held."""

    story: Story
    node: str = ""
    files: dict[Path, str] = field(default_factory=dict)
    verified: list[Path] = field(default_factory=list)

    def ask(self) -> None:
        """History, state and limit, at a node that sealed none of them; then the limit at every node."""
        teller, tally, stage = self.story.teller, self.story.tally, self.story.stage
        paper = self._record()
        self.node = next(member for member in reversed(stage.members) if member not in (paper.chain, LENDER))
        teller.say(f"The auditor asks at the node of {self.node}; {paper.name} was written at that of {paper.chain}.")
        issuer = paper.draft.issuer
        words = (paper.kind, paper.number)
        versions = tally.ask(self.node, "query history", *words, issuer=issuer, chain=paper.chain)["rows"]
        for version in versions:
            teller.say(
                f"{paper.name}: version {version['version']}, sealed in block {version['height']} at "
                f"{moment(version['time'])}: {', '.join(version['changed'])}."
            )
        key = ("record", paper.kind, issuer, paper.number)
        before = versions[-1]["height"] - 1
        entry = tally.ask(self.node, "query state", paper.chain, "records", *key, at=before)
        teller.say(f"In the state of block {before} it is {'there' if entry['value'] else 'absent'}.")
        for deal in self.story.deals:
            identity = deal.assessment["id"]
            found = [tally.ask(member, "credit show", identity, told=member == self.node) for member in stage.members]
            if any(other != found[0] for other in found):
                raise CliError(f"the nodes differ about assessment {identity}: this must not be", code="DIFFER")
            teller.say(
                f"All {len(found)} nodes say the same of {deal.enterprise.label}, {deal.paper.name}: {deal.limit}."
            )

    def export(self) -> None:
        """Proofs of one record and of every limit, tied to the public chain."""
        stage = self.story.stage
        paper = self._record()
        folder = stage.directory / EVIDENCE
        self._export(folder / f"{paper.kind}.bundle", paper.name, "record", paper.id)
        for number, deal in enumerate(self.story.deals, 1):
            name = "limit" if len(self.story.deals) == 1 else f"limit-{number}"
            self._export(
                folder / f"{name}.bundle",
                f"limit of {deal.enterprise.label} with the records it rests on",
                "assessment",
                deal.assessment["id"],
                with_evidence=True,
            )
        for name, what, key in self._of_the_course():
            self._export(folder / f"{name}.bundle", what, "state", CONSORTIUM, "credit", *key)

    def bring_along(self) -> None:
        """The trust file, after all that was exported: an anchor that came in meanwhile may be among those used."""
        write_file(self.story.stage.directory / TRUST, json.dumps(self._trust(), indent=2).encode())
        self.story.teller.say(
            f"What a verifier brings along, never from the evidence: the genesis hash, and {TRUST} with hashes of "
            "public blocks, as the public chain itself tells them, and the accounts that anchor."
        )

    def _of_the_course(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """(file, what it proves, key in the credit contract's state) of what followed the loan."""
        course = self.story.course
        if course is None:
            return []
        found: list[tuple[str, str, tuple[str, ...]]] = []
        for rise in course.rises:
            money = course.deal.money(rise.after - rise.before)
            key = ("increment", course.deal.application, f"n:{rise.period}")
            found.append((f"increment-{rise.period}", f"increment of period {rise.period}, {money}", key))
        if course.twice is not None:
            place = course.place_of(course.twice)
            found.append(("pledge", f"{course.twice.name} backs one loan", ("pledge", *map(_as_key, place))))
        for alert in course.alerts:
            name = f"alert-{alert['rule'].lower().replace('_', '-')}"
            found.append((name, f"alert {alert['rule']}: {alert['text']}", ("alert", f"n:{alert['number']}")))
        return found

    def check(self) -> None:
        """Verify every file in a process of its own, then with another genesis hash. Raises CliError if one fails."""
        stage, teller = self.story.stage, self.story.teller
        for place, (path, what) in enumerate(self.files.items()):
            exit_code, printed = self.verify(path, stage.genesis)
            if exit_code != DONE:
                said = _last(printed)
                raise CliError(f"{path.name} does not verify: {said}", code="NOT_PROVED", exit_code=UNVERIFIED)
            whole = stage.directory / VERIFIED / f"{path.stem}.txt"
            write_file(whole, printed.encode())
            self.verified.append(path)
            lines = printed.splitlines()
            teller.show(_excerpt(lines, SHOWN[min(place, len(SHOWN) - 1)], whole), deeper="  ")
            teller.say(f"Proved: {what}.")
        other = f"{int(stage.genesis[0], 16) ^ 1:x}{stage.genesis[1:]}"
        path = next(iter(self.files))
        exit_code, printed = self.verify(path, other)
        teller.show(printed.splitlines(), deeper="  ")
        if exit_code != UNVERIFIED:
            raise CliError(f"{path.name} was not refused under another genesis hash", code="NOT_REFUSED")
        teller.say(f"Refused under another genesis hash (exit code {exit_code}): trust starts outside the file.")

    def _record(self) -> Paper:
        """The record a proof is taken of: a bill, if there is one."""
        papers = list(self.story.papers.values())
        return next((paper for kind in PREFERRED for paper in papers if paper.kind == kind), papers[0])

    def _export(self, path: Path, what: str, kind: str, *ids: str, **options: Any) -> None:
        done = self.story.tally.ask(
            self.node, "audit export", kind, *ids, anchored=True, output=typed(path), **options
        )
        self.files[path] = what
        count = "1 proof" if done["proofs"] == 1 else f"{done['proofs']} proofs"
        self.story.teller.say(f"{typed(path)}: {count}, tied to the public chain: {what}.")

    def _trust(self) -> dict[str, Any]:
        hashes: dict[str, dict[str, str]] = {}
        anchors = self.story.tally.ask(self.node, "anchor status", last=100, told=False)["anchors"]
        for row in anchors:
            number = row["block_number"]
            hashes.setdefault(str(row["chain_id"]), {})[str(number)] = self.story.stage.public_block_hash(number)
        return {"block_hashes": hashes, "senders": sorted({f"0x{row['sender']}" for row in anchors})}

    def verify(
        self, path: Path, genesis: str, *, development: bool = True, language: str | None = None
    ) -> tuple[int, str]:
        """(exit code, output) of `tally verify` run as a command; development: whether this chain counts at all."""
        stage = self.story.stage
        words = ["verify", typed(path), "--genesis", genesis, "--trust", typed(stage.directory / TRUST)]
        words += ["--allow-development-chain"] if development else []
        words += [] if language is None else ["--language", language]
        self.story.teller.show([f"$ tally {' '.join(words)}"])
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=VERIFY_S,
        )
        return done.returncode, done.stdout


def _as_key(part: str | bytes) -> str:
    """A part of a state's key as it is typed."""
    return part if isinstance(part, str) else f"x:{part.hex()}"


def _excerpt(lines: list[str], most: int, whole: Path) -> list[str]:
    """The beginning, and the last line with the verdict."""
    if len(lines) <= most:
        return lines
    return [*lines[: most - 2], f"… {len(lines) - most + 1} more lines in {typed(whole)}", lines[-1]]


def _last(printed: str) -> str:
    return (printed.strip().splitlines() or ["it says nothing"])[-1].removeprefix("tally: ")
