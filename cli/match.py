"""``tally match``: publish de-identified market data as a regulator; name the lender or insurer that fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.command import EXISTING_FILE, FILE, Settings, group
from cli.errors import REJECTED, CliError, not_found
from cli.output import facts, money, note, percent, show, table, write_file
from cli.session import Session, submit
from cli.values import digest, is_digest

if TYPE_CHECKING:
    from node.connectors.market_csv import Plan, Table

command = group(
    "match",
    "Matching: the lender or insurer that fits, from a regulator's de-identified data. "
    "The accuracy of insurer matching is unproven without real trade-credit data.",
)

PRODUCT_FIELDS: Final = {"dataset", "currency", "scale", "products"}


@command.command("prepare", example="tally match prepare loans.csv --mapping loans.json -o published.csv")
@click.argument("path", type=EXISTING_FILE, metavar="FILE.csv")
@click.option("--mapping", type=EXISTING_FILE, required=True, help="what each column becomes, see docs/matching.md")
@click.option(
    "-o", "--output", type=FILE, required=True, help="the file to publish; its mapping goes beside it (.json)"
)
@click.pass_obj
def prepare(settings: Settings, path: Path, mapping: Path, output: Path) -> None:
    """De-identify exact records on this machine: bands, groups of at least 5 alike, frozen percentiles, weights.

    Nothing is sent. A feature that does not help to tell lenders apart is left out of the file altogether.
    """
    from contracts import market_schema as schema
    from node.connectors import market_csv, market_document, market_model

    if output.suffix != ".csv":
        raise CliError(f"{output} does not end in .csv: the mapping goes beside it, with .json")
    plan = _plan(mapping)
    exact = market_csv.read(path, plan, exact=True)
    scaled = market_model.scales(exact, plan.kind)
    if plan.kind == schema.LENDING:
        note("finding weights: each record is predicted from all others")
        weights = market_model.fit_weights(exact, scaled)
        kept = tuple(name for name in exact.names if weights.get(name, 1))
        exact = exact.only(kept)
        scaled = market_model.scales(exact, plan.kind, weights)
    grouped = market_model.generalise(exact, plan.kind, scaled)
    model = market_document.model_of(scaled, market_model.NEIGHBOURS_GROUPED)
    spread = market_model.spread(grouped, plan.kind)
    write_file(output, market_csv.render(grouped))
    beside = output.with_suffix(".json")
    write_file(beside, _json(market_csv.own_plan(plan, grouped, model)))
    pairs = [
        ("records", len(grouped.rows)),
        ("columns", list(grouped.names)),
        ("groups", f"{spread.groups}, of {spread.smallest} to {spread.largest} records"),
        (
            "of one institution",
            f"{spread.one_institution} groups: who knows a borrower's group knows its institution",
        ),
        ("written", f"{output}, {beside}"),
    ]
    value = {"records": len(grouped.rows), "columns": grouped.names, **spread._asdict(), "mapping": beside.name}
    show(settings, value, [*facts(pairs), f"Next: tally match publish {output} --mapping {beside}"])


@command.command(
    "publish",
    signs=True,
    example="tally match publish published.csv --mapping published.json --home net --as regulator\n"
    "tally match publish products.json --home net --as regulator",
)
@click.argument("path", type=EXISTING_FILE, metavar="FILE")
@click.option("--mapping", type=EXISTING_FILE, help="for a CSV file: what each column becomes")
@click.option("--dry-run", is_flag=True, help="hold it to every rule, send nothing; needs no node and no key")
@click.pass_obj
def publish(settings: Settings, path: Path, mapping: Path | None, dry_run: bool) -> None:
    """Publish lending or underwriting records, or products, on the regulator's own chain: all of it or nothing.

    What would identify a borrower, and any group of fewer than 5 records, is refused here and by the contract.
    """
    build = _products(path) if mapping is None else _records(path, mapping)
    if dry_run:
        document = build(1)
        _check(document, lambda code: None if code.isupper() else _supposed(document), path)
        show(settings, _summary(document), [f"{path}: {_said(document)} could be published; nothing was sent"])
        return
    with Session(settings) as session:
        chain = session.owner["id"]
        identity = build(1)["id"]
        document = build((session.client.state(chain, "market", "current", identity) or 0) + 1)
        _check(document, _roles(session), path)
        state = submit(session, chain=chain, contract="market", method="publish", args={"dataset": document})
    result = state["receipt"]["result"]
    pairs = [("data set", f"{chain} {result['id']}"), ("version", result["version"]), ("hash", result["hash"])]
    show(
        settings, {**_summary(document), **result, "transaction": state}, facts([*pairs, ("holds", _said(document))])
    )


@command.command("lender", signs=True, example="tally match lender 5f0c… --home net --as kestrel")
@click.argument("application", metavar="APPLICATION")
@click.option("--dataset", help="CHAIN/ID of the lending data; default the newest in the currency")
@click.pass_obj
def lender(settings: Settings, application: str, dataset: str | None) -> None:
    """Name the target lender of an assessed application: who lends to the like, and predicts the closest limit."""
    args = {"application": digest(application, "application")} | _named("dataset", dataset)
    found = _match(settings, "lender", args)
    lines = _words(found)
    if found["target"]:
        lines.append(f"Next, if it has no lender yet: tally credit choose {application} {found['target']}")
    show(settings, found, lines)


@command.command("insurer", signs=True, example="tally match insurer 5f0c… --home net --as kestrel")
@click.argument("application", metavar="APPLICATION")
@click.option("--dataset", help="CHAIN/ID of the underwriting data; default the newest in the currency")
@click.option("--products", help="CHAIN/ID of the products; default the newest in the currency")
@click.pass_obj
def insurer(settings: Settings, application: str, dataset: str | None, products: str | None) -> None:
    """Name the target insurer and its product: hard predicates first, then who accepts the like.

    Its accuracy is unproven: no real trade-credit underwriting data was at hand to measure it.
    """
    args = {"application": digest(application, "application")}
    found = _match(settings, "insurer", args | _named("dataset", dataset) | _named("products", products))
    show(settings, found, _words(found))


@command.command("show", reads=True, example="tally match show 77aa…\ntally match show regulator/sba")
@click.argument("what", metavar="MATCH | CHAIN/ID")
@click.pass_obj
def show_match(settings: Settings, what: str) -> None:
    """Show a match with its explanation, or what a published data set holds and how it is compared."""
    with Session(settings) as session:
        if is_digest(what):
            found = session.client.state("consortium", "match", "match", digest(what, "match"))
            if found is None:
                raise not_found(f"there is no match {what}: give the id that tally match gave")
            show(settings, found, _words(found))
            return
        chain, identity = _pair(what)
        version = session.client.state(chain, "market", "current", identity)
        if version is None:
            raise not_found(f"{chain} has published no data set {identity!r}: see its regulator")
        header = session.client.state(chain, "market", "dataset", identity, version)
    names = ("kind", "version", "currency", "rows", "groups", "smallest", "neighbours", "neighbourhood", "hash")
    lines = facts([(name, header.get(name)) for name in names])
    features = [entry for entry in header.get("columns", []) if "weight" in entry]
    rows = [[entry["name"], entry["weight"], entry["low"], entry["high"]] for entry in features]
    show(settings, header, [*lines, "", *table(["feature", "weight", "low", "high"], rows)] if rows else lines)


def _match(settings: Settings, method: str, args: dict[str, Any]) -> dict[str, Any]:
    with Session(settings) as session:
        state = submit(session, chain="consortium", contract="match", method=method, args=args)
        found = session.client.state("consortium", "match", "match", bytes.fromhex(state["id"]))
    if found is None:
        raise CliError(
            f"matched as {state['id']}, but this node does not show it yet: tally match show {state['id']}"
        )
    return {**found, "transaction": state}


def _words(found: dict[str, Any]) -> list[str]:
    """A match for people."""
    unit = (found["scale"], found["currency"])
    target = found["target"] or "nobody: see the verdicts"
    pairs = [("match", found["id"]), ("target", target), ("limit", money(found["limit"], *unit))]
    pairs += [("data set", "/".join(found["dataset"][:2])), ("features", _features(found["features"]))]
    pairs += [("not known", found["unknown"] or None), ("its nearest records", found["bands"] or None)]
    if found["kind"] == "lending":
        heads = ["lender", "verdict", "predicted limit", "off by", "share of the like", "nearness"]
        rows = [
            [
                row["lender"],
                row["verdict"],
                "" if row["predicted"] is None else money(row["predicted"], *unit),
                "" if row["predicted"] is None else money(row["gap"], *unit),
                row.get("share", ""),
                row.get("rank", ""),
            ]
            for row in found["entries"]
        ]
        return [*facts(pairs), "", *table(heads, rows)]
    heads = ["insurer", "product", "verdict", "acceptance", "rate", "cover", "excluded by"]
    rows = [
        [
            row["insurer"],
            row["product"],
            row["verdict"],
            percent(row["acceptance"]),
            percent(row["rate_bp"]),
            money(row["cover"], *unit),
            "; ".join(row["unmet"]),
        ]
        for row in found["entries"]
    ]
    return [*facts(pairs), "", *table(heads, rows), "", found["note"]]


def _features(features: dict[str, Any]) -> str:
    """The enterprise as the data set understood it."""
    return ", ".join(f"{name} {'(none of the data)' if value == '' else value}" for name, value in features.items())


def _plan(mapping: Path) -> Plan:
    from genesis import strict_json
    from node.connectors import market_csv

    value = strict_json.read(mapping)
    if not isinstance(value, dict):
        raise CliError(f"{mapping} is not a JSON object: see docs/matching.md")
    return market_csv.plan(value, mapping.name)


def _records(path: Path, mapping: Path) -> Callable[[int], dict[str, Any]]:
    from node.connectors import market_csv, market_document

    plan = _plan(mapping)
    read: Table = market_csv.read(path, plan, exact=False)
    return lambda version: market_document.document(read, plan, version)


def _products(path: Path) -> Callable[[int], dict[str, Any]]:
    from genesis import strict_json

    if path.suffix.lower() != ".json":
        raise CliError(f"{path} is no list of products (.json): for records give --mapping")
    value = strict_json.read(path)
    if not isinstance(value, dict) or set(value) != PRODUCT_FIELDS:
        raise CliError(f"{path} does not hold {', '.join(sorted(PRODUCT_FIELDS))}: see docs/matching.md")
    rest = {name: value[name] for name in ("currency", "scale", "products")}
    return lambda version: {"id": value["dataset"], "kind": "products", "version": version, **rest}


def _check(document: dict[str, Any], role_of: Callable[[str], str | None], path: Path) -> None:
    """Hold a document to the contract's own rules before it is sent. Raises CliError naming the file."""
    from chain.crypto import hash_value
    from contracts import market
    from contracts.errors import ContractError

    try:
        if document["kind"] == "products":
            market.check_products(document, role_of)
        else:
            market.check(document, role_of, hash_value)
    except ContractError as error:
        raise CliError(f"{path.name}: {error.message}", code=error.code, exit_code=REJECTED) from None


def _roles(session: Session) -> Callable[[str], str | None]:
    def role_of(member: str) -> str | None:
        entry = session.client.state("consortium", "registry", "member", member)
        return None if entry is None else str(entry["role"])

    return role_of


def _supposed(document: dict[str, Any]) -> str:
    """Without a node, ids in lower case pass as members of the role the data set is about."""
    return "lender" if document["kind"] == "lending" else "insurer"


def _summary(document: dict[str, Any]) -> dict[str, Any]:
    columns = [entry["name"] for entry in document.get("columns", [])]
    return {"id": document["id"], "kind": document["kind"], "columns": columns, "currency": document["currency"]}


def _said(document: dict[str, Any]) -> str:
    if document["kind"] == "products":
        return f"{len(document['products'])} products"
    return f"{document['rows']} records of {len(document['columns'])} columns"


def _named(argument: str, text: str | None) -> dict[str, Any]:
    return {} if text is None else {argument: list(_pair(text))}


def _pair(text: str) -> tuple[str, str]:
    chain, slash, identity = text.partition("/")
    if not slash or not chain or not identity:
        raise CliError(f"{text!r} is neither an id of 64 digits nor CHAIN/ID: write for example regulator/sba")
    return chain, identity


def _json(value: dict[str, Any]) -> bytes:
    import json

    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
