"""An explanation redone by hand: reads what `tally credit explain --records` has printed, and nothing else.

Written from docs/credit.md, "By hand"; shares no code with the program. In fractions, so that nothing is rounded but
where the text says so.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

B = 10_000
RATINGS = ("conformity", "timeliness", "accuracy", "truth")
Table = list[dict[str, str]]


class Printout:
    """The printed text in its parts."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()

    def under(self, heading: str) -> list[str]:
        """The lines below a line that begins so, up to the next empty one."""
        start = next(number for number, line in enumerate(self.lines) if line.startswith(heading)) + 1
        end = next((number for number in range(start, len(self.lines)) if not self.lines[number]), len(self.lines))
        return self.lines[start:end]

    def table(self, heading: str) -> Table:
        """A table by its column heads; cells stand where their column's head stands."""
        head, *rows = [line for line in self.under(heading) if not line.startswith("completion")]
        if head == "(none)":
            return []
        starts = [match.start() for match in re.finditer(r"(?:(?<=  )|^)\S", head)]
        names = re.split(r"\s{2,}", head.strip())
        edges = [*starts[1:], 10_000]
        return [
            {name: row[a:b].strip() for name, a, b in zip(names, starts, edges, strict=True)} for row in rows
        ]  # fmt: skip

    def facts(self, heading: str) -> dict[str, str]:
        pairs = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in self.under(heading))
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    def fact(self, name: str) -> str:
        return next(line[len(name) :].strip() for line in self.lines if line.startswith(f"{name}  "))

    def model(self) -> dict[str, str]:
        return dict(line.split(": ", 1) for line in self.under("Model "))

    def steps(self, heading: str) -> list[tuple[str, str, dict[str, str]]]:
        """(name, printed value, inputs) of each step."""
        found: list[tuple[str, str, dict[str, str]]] = []
        for line in self.under(heading):
            numbered = re.fullmatch(r" *\d+\. (\S+): (.*)", line)
            if numbered:
                found.append((numbered[1], numbered[2], {}))
            elif line.strip().startswith("with "):
                pairs = re.findall(r"([\w-]+) = (.*?)(?=, [\w-]+ = |$)", line.strip()[5:])
                found[-1][2].update(pairs)
        return found


def minor(money: str) -> int:
    """Pence of "1,547.04 GBP"."""
    return int(Fraction(money.split()[0].replace(",", "")) * 100)


def share(part: Fraction | int, whole: Fraction | int) -> int | None:
    return None if whole == 0 else math.floor(Fraction(part) * B / Fraction(whole))


def pairs(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (item.rsplit(" ", 1) for item in text.split("; "))}


def graded(model: dict[str, str], name: str, value: int | None) -> tuple[str, int]:
    """Grade and number of the band, or of the fallback grade without a value."""
    bands = re.findall(r"(\w+) (\d+) (?:to below (\d+)|and more) (\d+) ", model[name] + " ")
    fallback = dict(item.split(" ") for item in model["fallback"].split("; "))
    for grade, low, high, number in bands:
        if grade == fallback[name] if value is None else int(low) <= value and (not high or value < int(high)):
            return grade, int(number)
    raise AssertionError(f"{name}: no band holds {value}")


def sums(records: Table) -> dict[str, int]:
    """What the rows of the records add up to, in the words of the printed sums."""
    process = [row for row in records if row["class"] == "process"]
    bills = [row for row in records if row["class"] == "bill"]
    timed = {name: [int(row["delay s"]) for row in rows if row["delay s"] != "historical"]
             for name, rows in (("process", process), ("bill", bills))}  # fmt: skip
    steps = [tuple(map(int, row["steps"].split("/"))) for row in process]
    return {
        "process records": len(process),
        "bills": len(bills),
        "weights present": sum(int(row["present"]) for row in records),
        "weights asked": sum(int(row["asked"]) for row in records),
        "process delay, s": sum(timed["process"]),
        "process records timed": len(timed["process"]),
        "bill delay, s": sum(timed["bill"]),
        "bills timed": len(timed["bill"]),
        "historical": sum(row["delay s"] == "historical" for row in records),
        "with a ranged value": sum(row["in range"] != "-" for row in process),
        "of them in range": sum(row["in range"] == "yes" for row in process),
        "steps judged": sum(judged for _, judged in steps),
        "of them passed": sum(passed for passed, _ in steps),
    }


def measures(found: dict[str, int], bills: Table, model: dict[str, str], currency: str) -> dict[str, int | None]:
    weights = {**pairs(model["delay_weights"]), **pairs(model["accuracy_weights"])}
    delays = []
    for name, seconds, count in (
        ("process", found["process delay, s"], found["process records timed"]),
        ("bill", found["bill delay, s"], found["bills timed"]),
    ):
        if count and weights[name]:
            delays.append((weights[name], math.ceil(Fraction(seconds, count))))
    late = None
    if delays:
        late = math.ceil(Fraction(sum(w * d for w, d in delays), sum(w for w, _ in delays)))
    v1 = share(found["of them in range"], found["with a ranged value"])
    v2 = share(found["of them passed"], found["steps judged"])
    parts = [(v, w) for v, w in ((v1, weights["range"]), (v2, weights["fluctuation"])) if v is not None and w]
    own = [row for row in bills if row["currency"] in ("", currency)]
    amounts = [(Fraction(row["amount"] or 0), row["status"] == "matched") for row in own]
    return {
        "conformity": share(found["weights present"], found["weights asked"]),
        "timeliness": late,
        "accuracy": sum(v * w for v, w in parts) // sum(w for _, w in parts) if parts else None,
        "truth": share(sum(a for a, true in amounts if true), sum(a for a, _ in amounts)),
    }


def initial_limit(printout: Printout) -> int:
    """L0 in minor units, from the records' rows on."""
    model, steps = printout.model(), printout.steps("How it was computed")
    said = {name: inputs for name, _, inputs in steps}
    net_inputs = said["contract_net"]
    found = sums(printout.table("Records in force"))
    rated = measures(found, printout.table("Bills:"), model, net_inputs["currency"])
    weights = pairs(model["weights"])
    points = sum(weights[name] * graded(model, name, rated[name])[1] for name in RATINGS)
    composite = points // sum(weights.values())
    scale = 10 ** int(net_inputs["scale"])
    net = max(
        0, math.floor(Fraction(net_inputs["amount"]) * scale) - math.ceil(Fraction(net_inputs["prepayment"]) * scale)
    )
    strengths = {}
    for name in ("contract_strength", "qualification"):
        complete, backed = said[f"{name}_completeness"], said[f"{name}_corroboration"]
        whole = share(int(complete["present"]), int(complete["asked"])) or 0
        strengths[name] = whole * (share(int(backed["backed"]), int(backed["present"])) or 0) // B
    guaranteed = sum(int(i["G"]) * int(i["gamma"]) // B for name, _, i in steps if name == "guarantee")
    advance = graded(model, "composite", composite)[1]
    limit = math.floor(Fraction(net * advance * strengths["qualification"], B * B)) + guaranteed
    limit = min(limit, net, pairs(model["obligor_caps"])[net_inputs["currency"]])
    return limit if strengths["contract_strength"] >= int(model["contract_floor_bp"]) else 0


def line(printout: Printout) -> dict[str, int]:
    """Increments, limit, completion and available of a line, in minor units and basis points."""
    facts = printout.facts("Line, ")
    net, headroom = minor(facts["C'"]), minor(facts["M"].split(",  ")[0].rsplit(", max", 1)[0])
    rows, stages = printout.table("Milestones"), printout.facts("Progress of the contract")
    total = sum(int(row["w"]) for row in rows)
    increments = reached = 0
    for row in rows:
        stage, _, bp, *_ = row["attained when"].split()
        attained = net > 0 and Fraction(minor(stages.get(stage, "0")), net) >= Fraction(int(bp), B)
        assert (row["attained"] == "yes") == attained, row
        reached += int(row["w"]) if attained else 0
        if row["period"]:
            granted = math.floor(Fraction(headroom * int(row["w"]) * int(row["E"]), total * B))
            assert granted == minor(row["g"]), row
            increments += granted
    said = {name: {key: int(value) for key, value in inputs.items()} for name, _, inputs in
            printout.steps("What can be drawn")}  # fmt: skip
    limit = minor(facts["L0"]) + increments
    parts = said["borrowing_base"]
    base = max(0, parts["stages"] + parts["guarantees"] - parts["dilution"])
    last = said["available"]
    free = max(0, min(limit - last["lent"], base - last["outstanding"])) if not last["overdue"] else 0
    return {
        "increments": increments,
        "limit": limit,
        "base": base,
        "available": free,
        "completion": B * reached // total,
    }
