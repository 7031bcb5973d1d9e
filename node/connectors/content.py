"""A file as detection sees it: its bytes and, parsed once, the tree, the value or the list of entries they are."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from node.connectors import strict_json, strict_xml, strict_zip
from node.connectors.events import Identity
from node.connectors.mapping import Mapping
from node.connectors.strict_json import JsonDocument
from node.connectors.strict_zip import Archive


@dataclass(frozen=True, slots=True)
class Content:
    """At most one of xml, json and archive is there; none for plain text, a PDF and the like.

    mapping: what the member says of its files: how the columns of a table are read, and whose an event log is.
    """

    data: bytes
    xml: etree._Element | None = None
    json: JsonDocument | None = None
    archive: Archive | None = None
    mapping: Mapping | None = None

    @classmethod
    def of(cls, data: bytes, mapping: Mapping | None = None) -> Content:
        """Parse what says by its first byte that it is XML, JSON or a ZIP archive. Raises ConnectorError."""
        if strict_xml.looks_like_xml(data):
            return cls(data, xml=strict_xml.parse(data), mapping=mapping)
        if strict_json.looks_like_json(data):
            return cls(data, json=strict_json.parse(data), mapping=mapping)
        if strict_zip.looks_like_zip(data):
            return cls(data, archive=Archive(data), mapping=mapping)
        return cls(data, mapping=mapping)

    @property
    def is_plain(self) -> bool:
        """Whether it is neither XML nor JSON nor a ZIP archive."""
        return self.xml is None and self.json is None and self.archive is None

    @property
    def identity(self) -> Identity:
        """The parties of an event log that names none."""
        return Identity() if self.mapping is None else self.mapping.identity
