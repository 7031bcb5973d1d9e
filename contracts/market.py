"""The market contract: what a regulator publishes for matching, on its own chain ([13]-[16], DOMAIN 9, 10).

Lending and underwriting data go in whole or not at all, packed by column; insurance products as a list. Everything
that is refused is refused here, for whoever builds the transaction; the command line refuses it earlier with the
file's line. Each version of a data set stays, so that an old match can be done again.

State, on the regulator's chain:
    ("dataset", id, version)    -> the document without its data, and {rows, groups, smallest, hash, height, time}
    ("page", id, version, n)    -> the columns of PAGE records, packed, in the order of the header's columns
    ("products", id, version)   -> [product] in the order (insurer, code)
    ("current", id)             -> version; ("ids", kind) -> ids of a kind, sorted

A data document: {id, kind, version, currency, scale, institutions, neighbours, neighbourhood, shortlist_bp, rows,
columns: [{name, width, data, codes (institutions and codes), low, high, weight (features)}] in name order}. Records
stand in the order of their hashes (`record_hash`), which settles ties of distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from contracts import access, arguments, products
from contracts import market_schema as schema
from contracts.access import CONSORTIUM
from contracts.context import Args, Context, Method, Value
from contracts.errors import ContractError
from contracts.market_schema import Type
from contracts.neighbours import MAX_VALUE, MAX_WEIGHT, WIDTHS, Packed, Scale, unpack

PAGE: Final = 1_024
MAX_ROWS: Final = 16_384
MAX_CODES: Final = 1_024
MAX_DATASETS: Final = 256  # ids of one kind on a chain
CELLS_PER_UNIT: Final = 16

_DOCUMENT = (
    "id", "kind", "version", "currency", "scale", "institutions", "neighbours", "neighbourhood", "shortlist_bp",
    "rows", "columns",
)  # fmt: skip


Hash: TypeAlias = Callable[[Value], bytes]
RoleOf: TypeAlias = Callable[[str], str | None]
"""The role of a member by its id, None for no member."""


class Dataset(NamedTuple):
    """A published data set, ready to be searched. columns: name → packed values of all records."""

    chain: str
    header: dict[str, Any]
    columns: dict[str, Packed]

    @property
    def reference(self) -> list[Value]:
        """[chain, id, version, hash]: what a result cites."""
        return [self.chain, self.header["id"], self.header["version"], self.header["hash"]]

    @property
    def rows(self) -> int:
        """How many records there are."""
        return int(self.header["rows"])

    def scales(self) -> dict[str, Scale]:
        """The features and how each is compared, in name order."""
        return {
            entry["name"]: scale_of(entry) for entry in self.header["columns"] if entry["name"] in schema.FEATURES
        }

    def codes(self, name: str) -> list[str]:
        """The code book of a column."""
        found: list[str] = next(entry["codes"] for entry in self.header["columns"] if entry["name"] == name)
        return found


def publish(ctx: Context, args: Args) -> Value:
    """Publish one version of a data set on the regulator's own chain: {dataset}. Gives {id, version, rows, hash}.

    By a regulator. Raises ContractError for what would identify a borrower, for a group below K, for a value out of
    bounds: nothing of the data set is then stored.
    """
    arguments.expect(args, "dataset")
    actor = access.authorise(ctx, "market.publish")
    if actor.id != ctx.chain:
        raise ContractError("WRONG_CHAIN", f"{actor.id} publishes on its own chain only: submit to chain {actor.id}")
    document = arguments.mapping(args["dataset"], "dataset")
    identity = arguments.member_id(document.get("id"), "id")
    current: int = ctx.get("current", identity) or 0
    if arguments.integer(document.get("version"), "version", 1, MAX_VALUE) != current + 1:
        raise ContractError(
            "WRONG_VERSION", f"version {current} of {identity!r} is the newest: the next one is {current + 1}"
        )
    kind = arguments.text(document.get("kind"), "kind", 32)
    found = _publish_products(ctx, document) if kind == schema.PRODUCTS else _publish_records(ctx, document)
    ids: list[str] = ctx.get("ids", kind) or []
    if current and identity not in ids:
        raise ContractError("WRONG_DATASET", f"{identity!r} is of another kind: choose another id")
    if not current:
        if len(ids) >= MAX_DATASETS:
            raise ContractError("TOO_MANY_DATASETS", f"a chain holds at most {MAX_DATASETS} data sets of a kind")
        ctx.put("ids", kind, value=sorted([*ids, identity]))
    digest = ctx.hash(["tally/market", 1, document])
    header = {**found, "hash": digest, "height": ctx.height, "time": ctx.time}
    ctx.put("dataset", identity, current + 1, value=header)
    ctx.put("current", identity, value=current + 1)
    shown = {"id": identity, "version": current + 1, "rows": header["rows"], "hash": digest}
    ctx.emit("market_published", {**shown, "kind": kind})
    return shown


METHODS: Final[dict[str, Method]] = {"publish": publish}


def newest(ctx: Context, kind: str, currency: str, scale: int, wanted: list[Value] | None = None) -> Dataset:
    """The data set to search: the one named as [chain, id], else the one of that kind and currency published last.

    Of several published in one block the first by (chain, id). Raises ContractError NO_DATASET, WRONG_CURRENCY.
    """
    found: list[tuple[int, str, str, dict[str, Any]]] = []
    for chain in ctx.chains():
        for identity in ctx.read(chain, "market", "ids", kind) or []:
            version = ctx.read(chain, "market", "current", identity)
            header = ctx.read(chain, "market", "dataset", identity, version)
            if wanted is None or wanted == [chain, identity]:
                found.append((-header["height"], chain, identity, header))
    fitting = [entry for entry in found if (entry[3]["currency"], entry[3]["scale"]) == (currency, scale)]
    if not fitting:
        if wanted is not None and found:
            there = found[0][3]
            raise ContractError(
                "WRONG_CURRENCY",
                f"{wanted[1]!r} is in {there['currency']} with {there['scale']} decimals, the assessment in "
                f"{currency} with {scale}: amounts of two currencies are never mixed",
            )
        raise ContractError(
            "NO_DATASET", f"no regulator has published {kind} data in {currency}: ask one (tally match publish)"
        )
    _, chain, _, header = min(fitting, key=lambda entry: entry[:3])
    return load(ctx, chain, header)


def load(ctx: Context, chain: str, header: dict[str, Any]) -> Dataset:
    """A data set with its columns; products have none."""
    names = [entry["name"] for entry in header.get("columns", [])]
    pages = range(-(-header["rows"] // PAGE)) if names else range(0)
    parts = [ctx.read(chain, "market", "page", header["id"], header["version"], page) for page in pages]
    columns = {
        entry["name"]: Packed(b"".join(part[place] for part in parts), entry["width"])
        for place, entry in enumerate(header.get("columns", []))
    }
    return Dataset(chain, header, columns)


def product_list(ctx: Context, dataset: Dataset) -> list[dict[str, Any]]:
    """The products of a data set of kind products."""
    header = dataset.header
    found: list[dict[str, Any]] = ctx.read(dataset.chain, "market", "products", header["id"], header["version"])
    return found


def scale_of(entry: dict[str, Any]) -> Scale:
    """How a feature's column is compared."""
    column = schema.FEATURES[entry["name"]]
    return Scale(column.type is Type.CODE, column.log, entry["low"], entry["high"], entry["weight"])


def record_hash(hash_value: Hash, kind: str, names: Sequence[str], cells: Sequence[Value]) -> bytes:
    """Hash of one record: its kind, columns and values, codes written out."""
    return hash_value(["tally/market_record", 1, kind, list(names), list(cells)])


def check(document: dict[str, Value], role_of: RoleOf, hash_value: Hash) -> tuple[int, int]:
    """Every rule for a lending or underwriting data set; gives (groups, size of the smallest).

    Needs no chain, so that the command line refuses what the contract would. Raises ContractError.
    """
    arguments.expect(document, *_DOCUMENT)
    kind = document["kind"]
    known = schema.columns_of(kind if type(kind) is str else "")
    _check_head(document)
    entries = arguments.sequence(document["columns"], "columns", 1, len(known))
    names = [arguments.text(arguments.mapping(e, "a column").get("name"), "a column's name", 40) for e in entries]
    for name in names:
        schema.column(kind, name)
    if names != sorted(set(names)):
        raise ContractError("WRONG_DATASET", "columns stand in the order of their names, each once")
    for name in schema.REQUIRED[kind]:
        if name not in names:
            raise ContractError("MISSING_COLUMN", f"{kind} data needs a column {name!r}: add it")
    if not any(name in schema.FEATURES for name in names):
        raise ContractError("MISSING_COLUMN", f"{kind} data needs a feature: one of {', '.join(schema.FEATURES)}")
    values = [_check_column(role_of, document, entry) for entry in entries]
    _check_answers(kind, dict(zip(names, values, strict=True)))
    _check_order(hash_value, document, entries, values)
    quasi = [place for place, name in enumerate(names) if known[name].quasi]
    grouped = list(zip(*(values[place] for place in quasi), strict=True))
    return schema.check_groups([names[place] for place in quasi], grouped)


def _publish_records(ctx: Context, document: dict[str, Value]) -> dict[str, Any]:
    groups, smallest = check(document, _role_of(ctx), ctx.hash)
    columns = document["columns"]
    ctx.charge(document["rows"] * len(columns) // CELLS_PER_UNIT)
    for page, start in enumerate(range(0, document["rows"], PAGE)):
        parts = [entry["data"][start * entry["width"] : (start + PAGE) * entry["width"]] for entry in columns]
        ctx.put("page", document["id"], document["version"], page, value=parts)
    bare = [{name: value for name, value in entry.items() if name != "data"} for entry in columns]
    return {**document, "columns": bare, "groups": groups, "smallest": smallest}


def _publish_products(ctx: Context, document: dict[str, Value]) -> dict[str, Any]:
    check_products(document, _role_of(ctx))
    listed = document["products"]
    ctx.charge(len(listed))
    ctx.put("products", document["id"], document["version"], value=listed)
    header = {name: value for name, value in document.items() if name != "products"}
    return {**header, "rows": len(listed)}


def check_products(document: dict[str, Value], role_of: RoleOf) -> None:
    """Every rule for a list of products. Raises ContractError naming the product."""
    arguments.expect(document, "id", "kind", "version", "currency", "scale", "products")
    _check_currency(document)
    listed = arguments.sequence(document["products"], "products", 1, products.MAX_PRODUCTS)
    products.check(listed, lambda code: _check_institution(role_of, "insurer", "insurer", code, []))


def _role_of(ctx: Context) -> RoleOf:
    def role_of(member: str) -> str | None:
        entry = ctx.read(CONSORTIUM, "registry", "member", member)
        return None if entry is None else str(entry["role"])

    return role_of


def _check_head(document: dict[str, Value]) -> None:
    _check_currency(document)
    arguments.integer(document["rows"], "rows", 1, MAX_ROWS)
    arguments.integer(document["neighbours"], "neighbours", 1, 99)
    arguments.integer(document["neighbourhood"], "neighbourhood", 1, 999)
    arguments.integer(document["shortlist_bp"], "shortlist_bp", 0, 10_000)
    declared = arguments.sequence(document["institutions"], "institutions", 0, MAX_CODES)
    for code in declared:
        if type(code) is not str or not schema.is_declared(code):
            raise ContractError("FREE_TEXT", "an institution is declared by 2 to 12 capital letters and digits")
    if declared != sorted(set(declared)):
        raise ContractError("WRONG_DATASET", "institutions are declared in order, each once")


def _check_currency(document: dict[str, Value]) -> None:
    code = document["currency"]
    if type(code) is not str or len(code) != 3 or not code.isascii() or not code.isalpha() or not code.isupper():
        raise ContractError("WRONG_CURRENCY", "a data set is in one currency, three capital letters such as EUR")
    arguments.integer(document["scale"], "scale", 0, 4)


def _check_column(role_of: RoleOf, document: dict[str, Value], entry: dict[str, Value]) -> list[int]:
    """Form and values of a column; gives its values."""
    name, kind = entry["name"], document["kind"]
    column = schema.columns_of(kind)[name]
    coded = column.type in (Type.CODE, Type.INSTITUTION)
    feature = ("low", "high", "weight") if name in schema.FEATURES else ()
    arguments.expect(entry, "name", "width", "data", *(("codes",) if coded else ()), *feature)
    width = arguments.integer(entry["width"], f"width of {name}", 1, 8)
    if width not in WIDTHS or type(entry["data"]) is not bytes or len(entry["data"]) != width * document["rows"]:
        raise ContractError("WRONG_DATASET", f"column {name!r} holds {document['rows']} values of 1, 2, 4 or 8 bytes")
    if feature:
        low = arguments.integer(entry["low"], f"low of {name}", 0, MAX_VALUE)
        arguments.integer(entry["high"], f"high of {name}", low + 1, MAX_VALUE)
        arguments.integer(entry["weight"], f"weight of {name}", 0, MAX_WEIGHT)
    values = unpack(Packed(entry["data"], width))
    if not coded:
        for value in sorted(set(values)):
            schema.check_value(name, column, value)
        return values
    codes = arguments.sequence(entry["codes"], f"codes of {name}", 1, MAX_CODES)
    for code in codes:
        text = arguments.text(code, f"a code of {name}", 32)
        if column.type is Type.INSTITUTION:
            _check_institution(role_of, schema.INSTITUTION[kind], name, text, document["institutions"])
        schema.check_code(name, column, text)
    if codes != sorted(set(codes)) or set(values) != set(range(len(codes))):
        raise ContractError("WRONG_DATASET", f"codes of {name!r} stand in order, each once, and each is used")
    return values


def _check_institution(role_of: RoleOf, role: str, name: str, code: str, declared: list[str]) -> None:
    """A member of the role, or a code the document declares. Raises ContractError UNKNOWN_INSTITUTION."""
    if code not in declared and role_of(code) != role:
        raise ContractError(
            "UNKNOWN_INSTITUTION",
            f"column {name!r} holds what is neither a {role} member's id nor a declared code: correct or declare it",
        )


def _check_answers(kind: str, columns: dict[str, list[int]]) -> None:
    """A granted limit is positive, a declined one 0."""
    if kind != schema.LENDING:
        return
    limits = columns["limit"]
    approved = columns.get("approved", [1] * len(limits))
    if any((limit > 0) != bool(said) for limit, said in zip(limits, approved, strict=True)):
        raise ContractError("ABSURD_VALUE", "column 'limit' is above 0 where the lender approved, and 0 where not")


def _check_order(
    hash_value: Hash, document: dict[str, Value], entries: list[dict[str, Value]], values: list[list[int]]
) -> None:
    names = [entry["name"] for entry in entries]
    cells = [
        [entry["codes"][value] for value in column] if "codes" in entry else column
        for entry, column in zip(entries, values, strict=True)
    ]
    previous = b""
    for row in zip(*cells, strict=True):
        digest = record_hash(hash_value, document["kind"], names, row)
        if digest < previous:
            raise ContractError(
                "WRONG_DATASET", "records stand in the order of their hashes: publish with tally match"
            )
        previous = digest
