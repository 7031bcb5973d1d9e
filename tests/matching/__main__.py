"""``python -m tests.matching``: the matching figures of docs/matching.md, on the SBA loans and by the clock.

About nine minutes on one core. Nothing of the data is copied into the project.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from contracts.preferences import MIN_RECORDS
from node.connectors import market_model
from node.connectors.market_csv import Table
from tests.matching import sba, speed


def main() -> int:
    """Print the table of accuracy, then what one query costs."""
    if not sba.SBA.exists():
        print(f"the SBA loans are not at {sba.SBA}", file=sys.stderr)
        return 2
    exact = sba.table()
    loans = sba.judged(exact)
    print(f"{len(exact.rows)} loans, {len(loans)} of lenders with more than {MIN_RECORDS}; leave-one-out\n")
    print("| | median absolute error | median ratio | target lender named |\n|---|---|---|---|")
    for score in _scores(exact, loans):
        share = 1_000 * score.hits // score.loans
        named = f"{share // 10}.{share % 10} % ({score.hits})"
        print(f"| {score.name} | ${score.error:,} | off by {score.ratio} % | {named} |", flush=True)
    print()
    for line in speed.report(exact):
        print(line)
    return 0


def _scores(exact: Table, loans: Sequence[int]) -> Iterator[sba.Score]:
    """Baselines first, then what each step from the plain rule to the published form changes."""
    yield from sba.baselines(exact, loans)
    yield sba.plain(exact, loans)
    for grouped in (False, True):
        for neighbours in (market_model.NEIGHBOURS_EXACT, market_model.NEIGHBOURS_GROUPED):
            yield sba.bettered(exact, loans, neighbours, grouped=grouped)


if __name__ == "__main__":
    sys.exit(main())
