"""A small instance of ``python -m tests.matching``, and of de-identification, on the real SBA loans."""

from __future__ import annotations

from collections import Counter

import pytest

from chain.crypto import hash_value
from contracts import market
from contracts import market_schema as schema
from node.connectors import market_document, market_model
from node.connectors.market_csv import Table
from tests.matching import sba, speed

pytestmark = pytest.mark.skipif(not sba.SBA.exists(), reason=f"the sample data is not at {sba.DATA}")


@pytest.fixture(scope="module")
def exact() -> Table:
    return sba.table()


def test_every_loan_is_read_and_grouped_by_five_or_more(exact: Table) -> None:
    assert len(exact.rows) == 2_102
    grouped = market_model.generalise(exact, "lending", market_model.scales(exact, "lending"))
    spread = market_model.spread(grouped, "lending")
    assert spread.smallest >= schema.K
    assert Counter(grouped.column("lender")) == Counter(exact.column("lender"))
    document = market_document.document(grouped, sba.mapping(), 1)
    groups, smallest = market.check(document, lambda _: None, hash_value)
    assert (groups, smallest) == (spread.groups, spread.smallest)


def test_grouping_is_the_same_every_time_and_moves_no_institution(exact: Table) -> None:
    part = Table(exact.names, exact.rows[:300], exact.lines[:300])
    scaled = market_model.scales(part, "lending")
    first, second = (market_model.generalise(part, "lending", scaled) for _ in range(2))
    assert first == second
    place = part.names.index("lender")
    assert [row[place] for row in first.rows] == [row[place] for row in part.rows]


@pytest.mark.slow
def test_on_a_sample_of_the_loans_the_published_model_names_the_lender_more_often_than_both_baselines(
    exact: Table,
) -> None:
    loans = sba.judged(exact)[::40]
    score = sba.scored(exact, loans, dict.fromkeys(market_model.scales(exact, "lending"), 4))
    for baseline in sba.baselines(exact, loans):
        assert score.hits > baseline.hits


@pytest.mark.slow
def test_a_query_over_2000_records_takes_at_most_20_ms(exact: Table) -> None:
    found = sorted(cpu for _, cpu in speed.measured(exact, 50))
    assert found[len(found) // 2] <= 20_000_000
