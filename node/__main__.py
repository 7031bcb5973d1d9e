"""``python -m node NODE.TOML``: one node as a process, for whoever starts nodes without the ``tally`` command."""

from __future__ import annotations

import sys
from pathlib import Path

from node.main import EXIT_USAGE, run

if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: python -m node NODE.TOML", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    sys.exit(run(Path(sys.argv[1])))
