"""What a way in needs on this machine, for ``tally node doctor``. Read-only."""

from __future__ import annotations

import os

from node.config_intake import Folder, Pull
from node.intake.desk import Feed
from node.intake.outcomes import IntakeError
from node.intake.reading import mapping_of


def problem_of(feed: Feed) -> str:
    """One line that says what to do, "" where nothing is wrong."""
    try:
        mapping_of(feed.mapping)
    except IntakeError as error:
        return str(error)
    if isinstance(feed, Folder) and feed.path.exists():
        if not feed.path.is_dir():
            return f"{feed.path} is no folder: correct its path"
        if not os.access(feed.path, os.R_OK | os.W_OK | os.X_OK):
            return f"{feed.path} cannot be read and written: correct its mode"
    if isinstance(feed, Pull):
        files = [*feed.secret_headers.values(), *([feed.ca_file] if feed.ca_file is not None else [])]
        for path in files:
            if not os.access(path, os.R_OK):
                return f"{path} cannot be read: correct its path or its mode"
    return ""
