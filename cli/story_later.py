"""What follows a loan: periods that pass, evidence that raises the limit, what lowers it, and fakes that are noticed.

Each claim is checked here: what does not come about ends the demonstration with ``STORY_FAILED``.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from cli import inbox_work
from cli.errors import FAILED, CliError
from cli.output import percent, table
from cli.story import Story
from cli.story_court import DUE_DAYS, PAID_OUT_DAYS
from cli.story_credit import LENDER, MATCHED, TERM_DAYS, Deal, Key, Paper
from cli.story_members import SECOND_LENDER
from cli.story_stage import OUTBOX_OF, PERIOD_S
from cli.story_teller import typed
from cli.values import decimal_text
from node.connectors import read as read_document

ALTERED, BILL, DROPPED, RETURN, CREDIT_NOTE = "altered", "bill", "dropped", "return", "credit-note"
ROOM_MS: Final = 5_000
"""What is left of a period in which documents still go in; else the next one is waited for."""
SECOND_SHARE: Final = 20
"""The second lender lends one part of the limit in so many."""
EXPLAINED: Final = "explained.txt"
SHOWN: Final = 42


class Rise(NamedTuple):
    """A period's close: what it added to the limit, minor units."""

    period: int
    before: int
    after: int
    credibility: int
    completion: int


class Later:
    """The line of one deal from its opening on."""

    def __init__(self, story: Story, deal: Deal) -> None:
        self.story = story
        self.deal = deal
        self.rises: list[Rise] = []
        self.fall: tuple[int, int] | None = None
        """Limit before and after something was undone."""
        self.alerts: list[dict[str, Any]] = []
        self.twice: Paper | None = None
        """The bill that a second lender was refused."""

    def period(self, number: int) -> None:
        """One period: documents, an altered bill among them if there is one, the close, the lender's decision."""
        say, folder = self.story.teller.say, self._folder(f"period-{number}")
        before = self._line()
        self._wait_for_room()
        say(
            f"Period {self._open()['number']} is open: {PERIOD_S} s here, a calendar month by default. Documents of "
            "the same contract come in, each in the format of the system that wrote it."
        )
        self.story.ingest(folder)
        self._pay_back()
        self._altered(number)
        self._bill(number)
        self._drop(number)
        bills = self.story.desk.confirm_bills(self.deal)
        self._wait_for_close(self._open()["number"])
        after = self._line()
        self._told(after, before)
        last = not self._folder(f"period-{number + 1}").is_dir()
        self._lend_more(after, after["granted"] - before["granted"], bills, last=last)

    def undone(self) -> None:
        """Goods go back: exactly what their milestones had earned is taken back, in the block that shows it."""
        say = self.story.teller.say
        before = self._line()
        held = {row["id"]: row["granted"] for row in before["milestones"] if row["granted"] is not None}
        say(
            "Goods go back to the seller; the buyer's stores say so. Nobody asks for anything: the consortium's own "
            "hook sees that milestones no longer stand."
        )
        self.story.ingest(self._folder(RETURN))
        self.story.stage.until(lambda: self._line()["granted"] < before["granted"], "a lower limit after the return")
        after = self._line()
        gone = [row["id"] for row in after["milestones"] if row["granted"] is None and row["id"] in held]
        taken = sum(held[name] for name in gone)
        notice = self._notice(self.deal.lender, "limit_lowered")
        entry = self._entry_of(self._folder(RETURN))
        self._require(before["granted"] - after["granted"] == taken, "what is taken back is what was granted")
        self._require(notice["data"]["taken"] == {name: held[name] for name in gone}, "the notice says the same")
        self._require(notice["height"] == entry["height"], "the limit falls in the block that shows the return")
        rows = [[name, self.deal.money(held[name]), self.deal.money(held[name])] for name in gone]
        self.story.teller.show(table(["milestone undone", "had granted", "taken back"], rows))
        self.fall = (before["L0"] + before["granted"], after["L0"] + after["granted"])
        say(
            f"Block {notice['height']} sealed the return, and the same block lowered the limit from "
            f"{self.deal.money(self.fall[0])} to {self.deal.money(self.fall[1])}."
        )
        if self._folder(CREDIT_NOTE).is_dir():
            say("The bill for these goods is in doubt until the seller's credit note takes them off. It comes:")
            self.story.ingest(self._folder(CREDIT_NOTE))

    def pledge_twice(self) -> None:
        """A second lender is offered a receivable that the first one holds: refused, and both are alerted."""
        say, tally, deal = self.story.teller.say, self.story.tally, self.deal
        verdicts = ((paper, self.story.desk.verdict_of(paper)) for paper in reversed(deal.pledged))
        bill = next((paper for paper, found in verdicts if found and found["status"] == MATCHED), None)
        if bill is None:
            say("No pledged bill that still stands to try it with.")
            return
        say(
            f"{deal.enterprise.label} asks {self._other()} for credit too, on the same contract, and offers it "
            f"{bill.name}, which {deal.lender} holds already."
        )
        application = self._second_line()
        seen = self._alert_count()
        refusal, block = "", 0
        try:
            tally.do(
                self._other(), "credit pledge", application, bill.number, kind=bill.kind, issuer=bill.draft.issuer
            )
        except CliError as error:
            if (error.code, error.exit_code) != ("DOUBLE_PLEDGE", FAILED):
                raise
            refusal, block = str(error), error.data["transaction"]["height"]
        self._require(refusal != "", "the second pledge is refused")
        self.story.stage.settle()
        say(f"Refused (exit code {FAILED}): {refusal}.")
        alert = self._alert("DOUBLE_PLEDGE", bill, seen, block)
        holder = self.story.stage.state("pledge", *self.place_of(bill))
        self._require(holder["lender"] == deal.lender, "the bill still backs the first lender's loan alone")
        for lender in (deal.lender, self._other()):
            work = tally.ask(lender, "inbox")["work"]
            self._require(any(item["id"] == alert["id"] for item in work), f"{lender} finds the alert in its inbox")
        self.twice = bill
        say(f"{deal.lender} and {self._other()} both have it in their work queues.")

    def explain(self) -> None:
        """Every number from record to limit, as `tally credit explain` prints it; the terminal shows the line."""
        lines = self.story.tally.words(self.deal.lender, "credit explain", self.deal.enterprise.id, records=True)
        path = self.story.stage.directory / EXPLAINED
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        start = next((n for n, line in enumerate(lines) if self._line()["assessment"].hex() in line.split()[2:]), 0)
        start = max(start - 1, 0)
        shown = lines[start : start + SHOWN]
        left = len(lines) - len(shown)
        self.story.teller.say(
            f"{len(lines)} lines, from each record to what can be drawn, to be redone by hand, are in {typed(path)}. "
            f"The line of {self.deal.paper.name}:"
        )
        self.story.teller.show([*shown, f"… {left} more lines in {typed(path)}"], deeper="  ")
        for claim in ("Computed again", "Milestones, g =", "What can be drawn"):
            self._require(any(line.startswith(claim) for line in lines), f"the explanation says: {claim}")

    @property
    def limit(self) -> int:
        """The limit as it stands, minor units."""
        line = self._line()
        return int(line["L0"] + line["granted"])

    # what a period consists of

    def _altered(self, number: int) -> None:
        folder = self._folder(f"period-{number}-{ALTERED}")
        if not folder.is_dir():
            return
        say, seen = self.story.teller.say, self._alert_count()
        say("A bill comes in that somebody has altered after the goods were received:")
        self.story.ingest(folder)
        paper = self._papers_of(folder)[0]
        alert = self._alert("QUANTITY", paper, seen, self._entry_of(folder)["height"])
        say(
            f"The bill says {alert['ours']}, the papers it rests on say {alert['theirs']}. It counts as false: the "
            "buyer does not confirm it, nobody may pledge it."
        )
        work = self.story.tally.ask(self.deal.lender, "inbox")["work"]
        self._require(any(item["id"] == alert["id"] for item in work), "the lender finds the alert in its inbox")

    def _bill(self, number: int) -> None:
        folder = self._folder(f"period-{number}-{BILL}")
        if folder.is_dir():
            self.story.teller.say(
                "The seller hands in the true bill as a correction; both versions stay on the chain."
            )
            self.story.ingest(folder, correct=True)

    def _drop(self, number: int) -> None:
        """A file put into the folder that the ERP's node watches."""
        folder = self._folder(f"period-{number}-{DROPPED}")
        if not folder.is_dir():
            return
        stage = self.story.stage
        for path in sorted(folder.iterdir()):
            part = stage.outbox / f".{path.name}"
            shutil.copy(path, part)
            os.rename(part, stage.outbox / path.name)  # whole or not at all
            draft = read_document(path.read_bytes(), path.name)[0]
            self.story.teller.say(
                f"Not uploaded but found: {path.name} is dropped into the folder that the ERP's node watches."
            )
            key = (draft.kind, draft.issuer, draft.number)
            entry = self._dropped(key)
            self.story.sealed(key, OUTBOX_OF, entry["id"].hex(), path)
            self.story.teller.say(f"Its node has sealed {draft.kind} {draft.number} in block {entry['height']}.")

    def _pay_back(self) -> None:
        """What a remittance of the buyer says is paid, the lender books as a repayment, up to what is owed."""
        deal = self.deal
        line = self.story.tally.ask(deal.lender, "credit line", deal.application, told=False)
        new = [p for p in self.story.papers.values() if p.kind == "remittance" and p.id not in deal.booked]
        for paper in new:
            deal.booked.add(paper.id)
            total = paper.draft.fields.get("total")
            if line["outstanding"] and isinstance(total, str):
                self.story.teller.say(f"The buyer pays, {paper.name}; the lender books it: oldest instalment first.")
                self.story.tally.do(deal.lender, "credit repay", deal.application, total, reference=paper.number)

    def _told(self, after: dict[str, Any], before: dict[str, Any]) -> None:
        """The notice as the lender's inbox shows it."""
        deal, say = self.deal, self.story.teller.say
        found = self.story.tally.ask(deal.lender, "inbox")
        notice = self._notice(deal.lender, "increment")["data"]
        rise = Rise(
            notice["period"],
            before["L0"] + before["granted"],
            after["L0"] + after["granted"],
            notice["credibility"],
            notice["completion"],
        )
        self._require(rise.after > rise.before, "the limit rises with the evidence")
        self.rises.append(rise)
        say(f"Period {rise.period} has closed. In the lender's inbox:")
        self.story.teller.show(table(["to do", "about", "amount", "with"], _work(found["work"])))
        rows = [
            [row["id"], percent(row["share_bp"]), row["stage"], row["weight"], deal.money(row["granted"] or 0)]
            for row in after["milestones"]
        ]
        self.story.teller.show(table(["milestone", "share of C'", "stage", "weight", "granted"], rows))
        say(
            f"Execution credibility E {percent(rise.credibility)} (conformity of the period's new records alone), "
            f"completion K {percent(rise.completion)}: the limit rises from {deal.money(rise.before)} to "
            f"{deal.money(rise.after)}."
        )

    def _lend_more(self, line: dict[str, Any], increment: int, bills: list[Paper], *, last: bool) -> None:
        """The lender decides on the increment: this one lends all of it, as far as the collateral carries."""
        deal = self.deal
        self.story.teller.say("The lender decides on the increment: this one lends all of it.")
        self.story.tally.do(
            deal.lender, "credit extend", deal.application, approve=decimal_text(increment, line["scale"])
        )
        self.story.desk.pledge(deal, bills)
        if last:
            self._last_payment()
        else:
            self.story.desk.pay_out(deal)

    def _last_payment(self) -> None:
        """What is drawn last is not paid back: booked as of a day in the past, since the story cannot wait."""
        deal, recovery = self.deal, self.story.recovery
        say = self.story.teller.say
        say(
            f"The demo cannot wait {TERM_DAYS} days for a default. So its last payment out is booked as made "
            f"{PAID_OUT_DAYS} days ago; its instalments fell due {DUE_DAYS[0]} and {DUE_DAYS[1]} days ago."
        )
        self.story.desk.pay_out(deal, recovery.schedule)
        self.story.stage.until(lambda: self._line()["state"] == "overdue", "the line is overdue")

    def _second_line(self) -> str:
        """A line of the second lender's own, in what repayments have freed of the limit; gives its application."""
        tally, deal, other = self.story.tally, self.deal, self._other()
        asked: dict[str, Any] = tally.do(
            deal.enterprise.id, "credit apply", deal.enterprise.id,
            contract=deal.paper.number, kind=deal.paper.kind, issuer=deal.paper.draft.issuer, lender=other,
        )  # fmt: skip
        assessed = tally.do(other, "credit assess", asked["id"])
        amount = assessed["limit"] // SECOND_SHARE
        self._require(amount > 0, f"the {deal.paper.name} carries a limit for {other}")
        approved = decimal_text(amount, assessed["scale"])
        tally.do(other, "credit decide", asked["id"], approve=approved, term_days=30, rate_bp=800)
        return str(asked["id"])

    # looking and waiting

    def _folder(self, name: str) -> Path:
        assert self.story.later is not None
        return self.story.later / name

    def _line(self) -> dict[str, Any]:
        found: dict[str, Any] = self.story.stage.state("line", bytes.fromhex(self.deal.application))
        return found

    def _open(self) -> dict[str, Any]:
        found: dict[str, Any] = self.story.stage.state("period")
        return found

    def _alert_count(self) -> int:
        return int(self.story.stage.state("alert_count") or 0)

    def _other(self) -> str:
        return SECOND_LENDER if self.deal.lender != SECOND_LENDER else LENDER

    def _papers_of(self, folder: Path) -> list[Paper]:
        keys = [key for path, key in self.story.drafts if path.parent == folder.resolve()]
        return [self.story.papers[key] for key in keys]

    def _entry_of(self, folder: Path) -> dict[str, Any]:
        paper = self._papers_of(folder)[0]
        key = (paper.kind, paper.draft.issuer, paper.number)
        found: dict[str, Any] = self.story.stage.state("record", *key, chain=paper.chain, contract="records")
        return found

    def place_of(self, bill: Paper) -> tuple[str, ...]:
        """Where its pledge is stored: kind, key of the issuer, number."""
        places = self.story.stage.state("pledges", bytes.fromhex(self.deal.application)) or []
        return next(tuple(place) for place in places if (place[0], place[2]) == (bill.kind, bill.number))

    def _wait_for_room(self) -> None:
        """Into a period with room for what comes: a record belongs to the one that is open when it is sealed."""
        if self._open()["end"] - time.time_ns() // 1_000_000 < ROOM_MS:
            number = self._open()["number"]
            self.story.stage.until(lambda: self._open()["number"] > number, "the next period")

    def _wait_for_close(self, number: int) -> None:
        self.story.teller.say(
            f"Nobody asks for anything now: period {number} ends by block time; every node closes it."
        )
        self.story.stage.until(lambda: bool(self._line()["closed_period"] >= number), f"the close of period {number}")

    def _dropped(self, key: Key) -> dict[str, Any]:
        """The entry of a record on the chain of the member whose node watches the folder, once it is there."""
        state = self.story.stage.state
        place = {"chain": OUTBOX_OF, "contract": "records"}
        self.story.stage.until(lambda: state("record", *key, **place) is not None, "a record of the watched folder")
        found: dict[str, Any] = state("record", *key, **place)
        return found

    def _notice(self, recipient: str, name: str) -> dict[str, Any]:
        """The newest notice of a name in somebody's inbox. Raises CliError where there is none."""
        page = self.story.tally.ask(recipient, "inbox", limit=100, told=False)
        found = [notice for notice in page["notices"] if notice["name"] == name]
        self._require(bool(found), f"the notice {name} reaches {recipient}")
        newest: dict[str, Any] = max(found, key=lambda notice: tuple(map(int, notice["cursor"].split("."))))
        return newest

    def _alert(self, rule: str, bill: Paper, seen: int, block: int) -> dict[str, Any]:
        """The alert about a bill, raised since so many were; told, and checked to be of the block that shows it."""
        self.story.stage.until(lambda: self._alert_count() > seen, f"an alert {rule} about {bill.name}")
        key = [bill.kind, bill.draft.issuer, bill.number]
        fresh = [self.story.stage.state("alert", number) for number in range(seen, self._alert_count())]
        alert = next((row for row in fresh if row["rule"].startswith(rule) and row["bill"] == key), None)
        self._require(alert is not None, f"an alert {rule} about {bill.name}")
        assert alert is not None
        found: dict[str, Any] = {**alert, "id": alert["id"].hex()}
        self._require(found["height"] == block, f"the alert is raised in block {block}, which shows it")
        self.alerts.append(found)
        to = ", ".join(found["to"])
        self.story.teller.say(f"ALERT in that same block {block}, {found['rule']}: {found['text']}. Told to {to}.")
        if len(fresh) > 1:
            self.story.teller.say(f"Also: {', '.join(row['rule'] for row in fresh if row is not alert)}.")
        return found

    @staticmethod
    def _require(holds: bool, claim: str) -> None:
        if not holds:
            raise CliError(f"this does not hold: {claim}", code="STORY_FAILED", exit_code=FAILED)


def _work(work: list[dict[str, Any]]) -> list[list[str]]:
    items = [inbox_work.Item(**item) for item in work]
    return [[item.what, item.about, item.amount, item.command] for item in items]
