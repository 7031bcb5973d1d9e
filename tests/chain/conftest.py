"""The flag that rewrites the golden vectors, and how hypothesis runs here."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# Wall time says nothing on a machine that other tests share: no example fails for having been slow.
settings.register_profile("chain", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chain")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/chain --rewrite-golden``: write what the formats give now into golden.json; read the diff."""
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        default=False,
        help="rewrite tests/chain/golden.json; a changed line is a changed format, which old ledgers do not survive",
    )
