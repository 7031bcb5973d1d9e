"""Which industry template of the running network applies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.errors import CliError

if TYPE_CHECKING:
    from cli.session import Session


def network_template(session: Session, template: str) -> dict[str, Any]:
    """The newest version of a template that the consortium has adopted. Raises CliError naming what there is."""
    client = session.client
    known = client.genesis()["templates"]
    version = max((row["version"] for row in known if row["id"] == template), default=1)
    found: dict[str, Any] | None = client.state("consortium", "credit", "template", template, version)
    while found is not None:
        newer = client.state("consortium", "credit", "template", template, found["version"] + 1)
        if newer is None:
            return found
        found = newer
    raise unknown_template(template, sorted({row["id"] for row in known}))


def unknown_template(template: str, known: list[str]) -> CliError:
    """One line that names the templates there are."""
    return CliError(f"unknown template {template!r}: use one of {', '.join(known)}", code="UNKNOWN_TEMPLATE")
