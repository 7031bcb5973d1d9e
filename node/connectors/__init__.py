"""Data exchange: files of members' systems to drafts of records ([8]); one format a module, one table of formats.

connector, drafts = recognise(data, name)           formats: detect by content, read one draft at a time
prepared = to_record(draft, ...)                   prepare: template, open and sealed fields, source
route("invoice", template, members)                routing: which member's chain a kind belongs on
"""

from __future__ import annotations

from node.connectors.draft import Party, RecordDraft
from node.connectors.errors import ConnectorError
from node.connectors.formats import FORMATS, Connector, detect, read, recognise
from node.connectors.prepare import Prepared, Provenance, to_record
from node.connectors.routing import route, uploaders

__all__ = [
    "FORMATS",
    "Connector",
    "ConnectorError",
    "Party",
    "Prepared",
    "Provenance",
    "RecordDraft",
    "detect",
    "read",
    "recognise",
    "route",
    "to_record",
    "uploaders",
]
