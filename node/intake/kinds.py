"""Which kinds of records a file is taken in under: they decide who may read the whole file (docs/confidentiality.md).

They are known before the first record is sent, and are the same however often the file is taken in: the kind of its
one record, else all kinds that its format, or the mapping of its table, can give.
"""

from __future__ import annotations

from collections.abc import Iterator

from node.connectors import Connector, ConnectorError, RecordDraft
from node.connectors import mapping as mappings


def with_kinds(
    connector: Connector, drafts: Iterator[RecordDraft], mapping: mappings.Mapping | None
) -> tuple[tuple[str, ...], Iterator[RecordDraft]]:
    """The kinds of a file, and its drafts, of which the first two have been looked at."""
    ahead: list[RecordDraft] = []
    failure: ConnectorError | None = None
    try:
        for draft in drafts:
            ahead.append(draft)
            if len(ahead) == 2:
                break
    except ConnectorError as error:
        failure = error
    alone = len(ahead) == 1 and failure is None
    return (ahead[0].kind,) if alone else _possible(connector, mapping), _resumed(ahead, failure, drafts)


def _resumed(
    ahead: list[RecordDraft], failure: ConnectorError | None, drafts: Iterator[RecordDraft]
) -> Iterator[RecordDraft]:
    yield from ahead
    if failure is not None:
        raise failure
    yield from drafts


def _possible(connector: Connector, mapping: mappings.Mapping | None) -> tuple[str, ...]:
    if connector.reading is None:
        return connector.kinds
    used = mapping
    if used is None or used.table is None:  # one that comes with the node: the connector's version names it
        used = mappings.ready(connector.version.partition("+")[2].partition("/")[0])
    if used.table is None:
        return connector.kinds
    kind = used.table.kind
    return (kind,) if isinstance(kind, str) else tuple(sorted(set(kind.values.values())))
