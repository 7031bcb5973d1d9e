"""The main job, told as it happens: from a folder of documents to a loan that is paid out, preserved and anchored.

Everything is done with the commands of ``tally``; nothing here knows the documents, their names or their dates. What
an auditor does afterwards is in ``cli/story_evidence.py``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chain import keys
from cli.errors import DONE, FAILED, REJECTED, CliError, one_line
from cli.output import table
from cli.session import PARTIES, PASSPHRASE_FILE
from cli.story_cast import Cast, cast_of
from cli.story_court import Recovery
from cli.story_credit import PROCUREMENT, Deal, Desk, Key, Paper
from cli.story_custody import Custody
from cli.story_market import Market
from cli.story_members import NEWCOMERS, Admission
from cli.story_stage import Stage
from cli.story_teller import Tally, Teller, typed
from node.connectors import ConnectorError, RecordDraft
from node.connectors import read as read_document
from node.intake import outcomes, reading

MAPPING: Final = "goods-movements.json"
"""In a folder of later documents: what the columns of its tables mean."""
if TYPE_CHECKING:
    from cli.story_later import Later

ANCHOR_S: Final = 120.0
POLL_S: Final = 0.3
SEALED: Final = (outcomes.SEALED, outcomes.KNOWN, outcomes.CORRECTED)
MAX_PERIODS: Final = 12
MAX_PRESERVED: Final = 256
AT_ONCE: Final = 32
"""Identifiers that one registration takes."""


class Story:
    """The steps, in their order; each leaves what it found for those after it."""

    desk: Desk

    def __init__(self, stage: Stage, teller: Teller, inputs: Path, later: Path | None) -> None:
        """inputs: the folder of the first documents; later: the one of those that come in later, if there are any."""
        self.stage = stage
        self.teller = teller
        self.inputs = inputs
        self.tally = Tally(stage.home, teller, stage.settle)
        self.market = Market(self.tally, teller)
        self.custody = Custody(stage, self.tally, teller)
        self.admission = Admission(stage, self.tally, teller)
        self.later = later
        self.mapping = None if later is None else later / MAPPING
        self.files = reading.files_of([inputs])
        self.drafts: dict[tuple[Path, Key], RecordDraft] = {}
        self.cast = Cast((), {})
        self.counts: Counter[str] = Counter()
        self.papers: dict[Key, Paper] = {}
        self.deals: list[Deal] = []
        self.course: Later | None = None
        self.recovery = Recovery(self)
        self.anchors: list[dict[str, Any]] = []
        self.anchor_note = ""

    def look(self) -> None:
        """Read every document, to see whom they are about. What cannot be read is left to ``ingest`` to refuse."""
        self._read(self.files)
        readable = bool(self.drafts)
        if self.later is not None:
            self._read(path for path in reading.files_of([self.later]) if path != self.mapping)
        taken = (*self.stage.members, *(member for member, _ in NEWCOMERS), PARTIES)
        self.cast = cast_of(self.drafts.values(), taken)
        if not readable:
            raise CliError(f"{self.inputs} holds no readable document: try `tally ingest {self.inputs} --dry-run`")
        self.teller.say(
            f"{len(self.files)} files, {len(self.cast.people)} parties. Who is who stands in the documents:"
        )
        for person in self.cast.people:
            self.teller.say(f"- {person.label}, {' and '.join(person.roles)}: {', '.join(person.identifiers)}")
        if any(person.label != person.name for person in self.cast.people):
            self.teller.say("Parties of one name that have no identifier in common are not taken for one.")

    def _read(self, paths: Iterable[Path]) -> None:
        mapping = reading.mapping_of("" if self.mapping is None else str(self.mapping))
        for path in paths:
            try:
                fits = path.stat().st_size <= reading.MAX_FILE
                drafts = read_document(path.read_bytes(), path.name, mapping) if fits else []
            except (ConnectorError, OSError):
                continue
            for draft in drafts:
                self.drafts.setdefault((path.resolve(), (draft.kind, draft.issuer, draft.number)), draft)

    def onboard(self) -> None:
        """Register the parties before any record, so that what came before them is history and nothing is late."""
        self.teller.say(
            "The procurement platform registers them, before any document goes in: events from before that block are "
            "history, later ones are timely or late. Enterprises and buyers get keys of their own."
        )
        passphrase = keys.passphrase_from_file(self.stage.home / PASSPHRASE_FILE)
        for person in self.cast.people:
            public = None
            if person.signs:
                path = self.stage.home / PARTIES / f"{person.id}.json"
                public = keys.create(path, passphrase, "party", cost=keys.INTERACTIVE).public.hex()
            first, rest = person.identifiers[:AT_ONCE], person.identifiers[AT_ONCE:]
            register = ("party register", person.id)
            self.tally.do(PROCUREMENT, *register, name=person.name, identifier=first, public=public)
            for start in range(0, len(rest), AT_ONCE):
                self.tally.do(PROCUREMENT, "party identify", person.id, *rest[start : start + AT_ONCE])

    def take_in(self) -> None:
        """Every document: sealed on its member's chain, or refused with a reason. Raises CliError for none sealed."""
        self.counts = self.ingest(self.inputs)
        said = ", ".join(f"{count} {outcome}" for outcome, count in self.counts.items())
        self.teller.say(f"{len(self.files)} files: {said}.")
        if not self.papers:
            raise CliError("nothing was sealed, so there is nothing to lend on or to prove: see the reasons above")

    def ingest(self, folder: Path, *, correct: bool = False) -> Counter[str]:
        """Take a folder in with ``tally ingest``, tell what came of each record; gives how many of each outcome."""
        tables = None if self.mapping is None or folder == self.inputs else typed(self.mapping)
        report = self.tally.do(
            PROCUREMENT, "ingest", typed(folder), all_members=True, timeout=120, allow=(DONE, REJECTED, FAILED),
            mapping=tables, correct=correct or None,
        )  # fmt: skip
        rows, reasons = [], []
        for file in report["files"]:
            path = Path(file["file"])
            for row in file["records"]:
                name = f"{row['kind'].replace('_', ' ')} {row['number']}"
                rows.append([row["outcome"], name, row["chain"], path.name])
                reasons += [f"{path.name}, {name}, {row['outcome']}: {row['reason']}"] if row["reason"] else []
                if row["outcome"] in SEALED:
                    key = (row["kind"], row["issuer"], row["number"])
                    known = row["outcome"] == outcomes.KNOWN
                    self.sealed(key, row["chain"], row["id"], path, known=known)
            if not file["records"]:
                rows.append([outcomes.REFUSED, "", "", path.name])
            reasons += [f"{path.name}, {outcomes.REFUSED}: {refusal['reason']}" for refusal in file["refused"]]
        self.teller.show(table(["outcome", "record", "chain", "file"], rows))
        for reason in reasons:
            self.teller.say(f"- {one_line(reason)}")
        return Counter(report["counts"])

    def sealed(self, key: Key, chain: str, identity: str, path: Path, *, known: bool = False) -> None:
        """Keep a record that is on a chain. A correction takes the place of what it corrects, a known one none."""
        if not known or key not in self.papers:
            self.papers[key] = Paper(key[0], key[2], chain, identity, self.drafts[path.resolve(), key])

    def lend(self) -> None:
        """Every enterprise with a contract, from application to disbursement."""
        self.desk = Desk(self.stage, self.tally, self.teller, self.cast, self.papers, self.market)
        self.deals = self.desk.handle()

    def go_on(self) -> None:
        """What follows the first loan that was paid out, as far as there are later documents; each part a step."""
        from cli.story_later import RETURN, Later

        deal = next((deal for deal in self.deals if deal.payments), None)
        if self.later is None or deal is None:
            self.teller.say("No documents come in later, or there is no line that they could move.")
            return
        self.course = course = Later(self, deal)
        with self.teller.step("The debt is made enforceable, while all is well"):
            self.recovery.make_deed(deal)
        for number in range(1, MAX_PERIODS + 1):
            if not (self.later / f"period-{number}").is_dir():
                break
            with self.teller.step(f"Period {number}: more evidence, and the limit rises"):
                course.period(number)
        if (self.later / RETURN).is_dir():
            with self.teller.step("Goods go back, and what they had earned is taken back at once"):
                course.undone()
        with self.teller.step("A receivable is pledged once, over all lenders"):
            course.pledge_twice()
        with self.teller.step("Every number explained"):
            course.explain()
        with self.teller.step("Nobody pays: default, verification, execution certificate"):
            self.recovery.default()
        with self.teller.step("The case"):
            self.recovery.open_case()

    def preserve(self) -> None:
        """Bind contract, bills, guarantees, assessment, decision and disbursement of each deal together."""
        for deal in self.deals:
            assessed = deal.assessment
            records = [deal.paper.id, *assessed["guarantees"], *(bill["id"] for bill in deal.bills)]
            records += [paper.id for paper in deal.pledged]
            subjects = [*dict.fromkeys(records), f"assessment:{assessed['id']}", f"decision:{deal.decision['id']}"]
            subjects += [f"disbursement:{paid['id']}" for paid in deal.payments]
            deal.preservation = self.tally.do(PROCUREMENT, "notary preserve", *subjects, contract=deal.paper.number)
            self.teller.say(
                f"{deal.paper.name}: {len(subjects)} things are bound together as of block "
                f"{deal.preservation['height']}: they stood there, dated and signed for."
            )
        if not self.deals:
            ids = [paper.id for paper in self.papers.values()][:MAX_PRESERVED]
            done = self.tally.do(PROCUREMENT, "notary preserve", *ids, contract="documents taken in")
            self.teller.say(f"No application, so the {len(ids)} records are preserved, as of block {done['height']}.")

    def anchor(self) -> None:
        """Have all blocks up to now put on the public chain, and wait until that is final and confirmed."""
        wanted = self.stage.height()
        deadline = time.monotonic() + ANCHOR_S
        told = False
        while True:
            status = self.tally.ask(PROCUREMENT, "anchor status", told=False, last=100)
            if status["anchored"] >= wanted:
                break
            self.stage.check()
            if time.monotonic() > deadline:
                problem = status["node"]["problem"] or "it is not final yet"
                raise CliError(f"no anchor of block {wanted} within {ANCHOR_S:.0f} s: {problem}", code="NOT_ANCHORED")
            if not status["node"]["queue"] and status["node"]["log_size"] >= wanted:  # else it would come too early
                self.tally.ask(PROCUREMENT, "anchor now", told=not told)
                told = True
            time.sleep(POLL_S)
        self.stage.settle()
        self.anchors = status["anchors"]
        self.anchor_note = status["node"]["note"]
        newest = self.newest_anchor
        self.teller.say(
            f"Blocks 1 to {newest['size']} stand on public chain {newest['chain_id']} ({self.stage.public.kind}): "
            f"transaction 0x{newest['tx_hash']} in public block {newest['block_number']}. The node of {newest['by']} "
            "sent it and brought the proof back onto the consortium chain; every node checks it at its own endpoint."
        )
        self.teller.say(f"{self.anchor_note}. This public chain is this machine's own.")

    @property
    def newest_anchor(self) -> dict[str, Any]:
        """The one that covers most blocks."""
        return max(self.anchors, key=lambda row: int(row["size"]))
