"""Which industry template of the running network applies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.errors import CliError

if TYPE_CHECKING:
    from cli.session import Session


def network_template(session: Session, template: str) -> dict[str, Any]:
    """The newest version of a template that the consortium has adopted. Raises CliError naming what there is."""
    found = session.client.template(template)
    if found is None:
        raise unknown_template(template, sorted({row["id"] for row in session.client.genesis()["templates"]}))
    return found


def unknown_template(template: str, known: list[str]) -> CliError:
    """One line that names the templates there are."""
    return CliError(f"unknown template {template!r}: use one of {', '.join(known)}", code="UNKNOWN_TEMPLATE")
