"""The industry templates and credit models that ship with the software, by id.

They are data: `genesis/templates/<id>.json` and `genesis/models/<id>.json`. A consortium copies what it chooses
into its genesis document, so that a later release cannot change a running network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from genesis import strict_json
from genesis.strict_json import GenesisError

_FOLDER: Final = Path(__file__).parent


def template_ids() -> tuple[str, ...]:
    """The ids of the shipped templates, sorted."""
    return _ids("templates")


def model_ids() -> tuple[str, ...]:
    """The ids of the shipped credit models, sorted."""
    return _ids("models")


def template(template_id: str) -> dict[str, Any]:
    """One shipped template. Raises GenesisError that names the known ones."""
    return _read("templates", "template", template_id)


def model(model_id: str) -> dict[str, Any]:
    """One shipped credit model. Raises GenesisError that names the known ones."""
    return _read("models", "model", model_id)


def models_of(templates: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The newest shipped model of each id that templates name, by id. Raises GenesisError for one not shipped."""
    newest: dict[str, dict[str, Any]] = {}
    for found in map(model, model_ids()):
        if found["id"] not in newest or newest[found["id"]]["version"] < found["version"]:
            newest[found["id"]] = found
    named = sorted({str(item.get("model")) for item in templates})
    strange = next((name for name in named if name not in newest), None)
    if strange is not None:
        raise GenesisError(f"no model {strange!r} is shipped, which a template names: give its file with --model")
    return [newest[name] for name in named]


def example_documents() -> Path:
    """The folder of the example documents, which tell one coherent story (`genesis/example/README.md`)."""
    return _FOLDER / "example" / "documents"


def example_later() -> Path:
    """What comes in later in that story: periods, a return, an altered bill (`genesis/example/README.md`)."""
    return _FOLDER / "example" / "later"


def example_market() -> Path:
    """A regulator's made-up market data to match on (`genesis/example/regulator/README.md`)."""
    return _FOLDER / "example" / "regulator"


def _ids(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_FOLDER / folder).glob("*.json")))


def _read(folder: str, what: str, name: str) -> dict[str, Any]:
    if name not in _ids(folder):
        raise GenesisError(f"unknown {what} {name!r}: use one of {', '.join(_ids(folder))}")
    value = strict_json.read(_FOLDER / folder / f"{name}.json")
    if not isinstance(value, dict):
        raise GenesisError(f"{what} {name!r} is not a JSON object: reinstall the software")
    return value
