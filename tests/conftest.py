"""Options of the whole test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--rewrite-scenarios``: write what the transcripts in tests/consensus/scenarios give now; read the diff."""
    parser.addoption(
        "--rewrite-scenarios",
        action="store_true",
        help="rewrite the transcripts in tests/consensus/scenarios; commit them only when each change is understood",
    )
