"""``python -m tests.matching``: the matching figures of docs/matching.md, on the SBA loans and by the clock.

About four minutes on one core. Nothing of the data is copied into the project.
"""

from __future__ import annotations

import sys

from tests.matching import sba, speed


def main() -> int:
    """Print the table of accuracy, then what one query costs."""
    if not sba.SBA.exists():
        print(f"the SBA loans are not at {sba.SBA}", file=sys.stderr)
        return 2
    exact = sba.table()
    loans = sba.judged(exact)
    print(f"{len(exact.rows)} loans, {len(loans)} of lenders with more than {sba.MIN_RECORDS}; leave-one-out\n")
    print("| | median absolute error | target lender named |\n|---|---|---|")
    scores = [*sba.baselines(exact, loans), sba.plain(exact, loans)]
    scores += [sba.bettered(exact, loans, grouped=grouped) for grouped in (False, True)]
    for score in scores:
        share = 1_000 * score.hits // score.loans
        print(f"| {score.name} | ${score.error:,} | {share // 10}.{share % 10} % ({score.hits}) |", flush=True)
    print()
    for line in speed.report(exact):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
