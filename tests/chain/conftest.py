"""The flag that rewrites the golden vectors."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/chain --rewrite-golden``: write what the formats give now into golden.json; read the diff."""
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        default=False,
        help="rewrite tests/chain/golden.json; a changed line is a changed format, which old ledgers do not survive",
    )
