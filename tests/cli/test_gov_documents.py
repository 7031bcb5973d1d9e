"""Templates and models are checked before anybody votes on them: file, element and rule in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genesis import library


def weightless(template: dict[str, Any]) -> None:
    for rule in template["kinds"]["invoice"]["fields"].values():
        rule["weight"] = 0


@pytest.mark.parametrize(
    ("what", "change", "code", "rule"),
    [
        ("template", weightless, "WRONG_TEMPLATE", "kind invoice: the weights of its open fields add up to 0"),
        (
            "template",
            lambda doc: [row.update(weight=0) for row in doc["milestones"]],
            "WRONG_TEMPLATE",
            "milestones: their weights add up to 0",
        ),
        (
            "model",
            lambda doc: doc.update(weights=dict.fromkeys(doc["weights"], 0)),
            "WRONG_MODEL",
            "weights names exactly conformity, timeliness, accuracy, truth, not all 0",
        ),
        ("model", lambda doc: doc["stage_advance"].pop("order"), "WRONG_MODEL", "stage_advance names exactly order"),
    ],
)
@pytest.mark.parametrize("command", ["propose approve", "adopt"])
def test_what_would_divide_by_zero_is_refused_by_its_element(
    tmp_path: Path, tally: Any, command: str, what: str, change: Any, code: str, rule: str
) -> None:
    document = library.template("construction") if what == "template" else library.model("construction-1")
    change(document)
    path = tmp_path / "proposed.json"
    path.write_text(json.dumps(document))
    done = tally("gov", *command.split(), path, "--node", "http://127.0.0.1:1", "--json")
    assert done.code == 2
    assert f"{path}: {rule}" in done.err
    assert done.json["error"]["code"] == code
