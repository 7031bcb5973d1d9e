"""The papers behind the records, in the story: kept by several members, read by whom it concerns, opened by field."""

from __future__ import annotations

import time
from typing import Any, Final

from cli.errors import CliError
from cli.output import table
from cli.story_credit import LENDER, Key, Paper
from cli.story_stage import Stage
from cli.story_teller import Tally, Teller, typed

CUSTODY_S: Final = 60.0
POLL_S: Final = 0.3
DISCLOSURE: Final = "disclosed.sealed"


class Custody:
    """``documents`` and ``custodians``: what was found at the end; ``opened``: what field was disclosed."""

    def __init__(self, stage: Stage, tally: Tally, teller: Teller) -> None:
        self._stage = stage
        self._tally = tally
        self._teller = teller
        self.documents = 0
        self.custodians = 0
        self.opened = ""

    def keep(self, papers: dict[Key, Paper]) -> None:
        """Wait until the documents of each chain are at all its custodians, and have them proved. Raises CliError."""
        for member in sorted({paper.chain for paper in papers.values()}):
            self._complete(member)
            report = self._tally.ask(member, "custody check")
            self.documents += report["objects"]
            self.custodians = max(self.custodians, len(report["custodians"]))
            rows = [[name, row["objects"], row["missing"]] for name, row in sorted(report["custodians"].items())]
            self._teller.show(table(["custodian", "objects shown", "missing"], rows))
        self._teller.say(
            f"{self.documents} raw files and sealed bodies, each at {self.custodians} other members: each showed "
            "a piece of its own copy, chosen by chance, against the root on the chain. The copies are encrypted; who "
            "keeps one does not read it."
        )

    def disclose(self, papers: dict[Key, Paper]) -> None:
        """Open one sealed field of a record to the lender alone; another member that asks is refused."""
        found = self._with_sealed_fields(papers)
        if found is None:
            self._teller.say("No document had a field that its template seals: there is nothing to disclose.")
            return
        paper, sealed = found
        name = next(name for name in sorted(sealed) if isinstance(sealed[name], str))
        stranger = next(member for member in self._stage.members if member not in (paper.chain, LENDER))
        refused = self._tally.ask(stranger, "record show", paper.id)
        if refused["sealed"] is not None or refused["not_readable"]["code"] != "NOT_A_READER":
            raise CliError(f"{stranger} was not named and reads {paper.name} all the same", code="STORY_FAILED")
        self._teller.say(f"{stranger} asks its own node: {refused['not_readable']['code']}. It sees the commitment.")
        path = self._stage.directory / DISCLOSURE
        self._tally.ask(paper.chain, "record disclose", paper.id, field=name, to=LENDER, output=typed(path))
        opened = self._tally.ask(LENDER, "record open", typed(path), genesis=self._stage.genesis)
        shown = opened["subject"]["opened"]
        if shown != {name: sealed[name]}:
            raise CliError(f"the lender opened {shown}, not {name}", code="STORY_FAILED")
        self.opened = f"{name.replace('_', ' ')} of {paper.name}, for {LENDER} alone"
        self._teller.say(
            f"{paper.name}: the lender opens {name.replace('_', ' ')} = {sealed[name]}, proved against the "
            f"commitment on the chain. The other {len(sealed) - 1} sealed fields stay hidden."
        )

    def _complete(self, member: str) -> None:
        deadline = time.monotonic() + CUSTODY_S
        while True:
            owner = self._tally.ask(member, "custody status", told=False)["owner"]
            behind = [name for name, row in owner["custodians"].items() if row["held"] < owner["deposits"]]
            if owner["deposits"] and not owner["waiting"] and not behind:
                return
            self._stage.check()
            if time.monotonic() > deadline:
                said = owner["problem"] or f"{', '.join(behind) or 'nobody'} is behind"
                raise CliError(f"the documents of {member} are not in custody yet: {said}", code="NOT_COMPLETE")
            time.sleep(POLL_S)

    def _with_sealed_fields(self, papers: dict[Key, Paper]) -> tuple[Paper, dict[str, Any]] | None:
        """A record with sealed text, as its own member's node reads it: one whose sealed fields are most."""
        best: tuple[Paper, dict[str, Any]] | None = None
        for paper in papers.values():
            if paper.chain == LENDER:
                continue
            sealed = self._tally.ask(paper.chain, "record show", paper.id, told=False)["sealed"] or {}
            if any(isinstance(value, str) for value in sealed.values()) and (
                best is None or len(sealed) > len(best[1])
            ):
                best = paper, sealed
        return best
