"""``tally``: the one command. Global options, and the groups with the module each is loaded from."""

from __future__ import annotations

import click

from cli.command import RootGroup, connection_options, json_option, key_option

COMMANDS = {
    "anchor": ("cli.anchor", "public-chain anchors: status, now, verify"),
    "audit": ("cli.audit", "proof files for an auditor: export, verify"),
    "bench": ("cli.bench", "throughput and latency of a fresh four-validator network"),
    "custody": ("cli.custody", "documents kept by others: status, appoint, check, restore"),
    "court": ("cli.court", "a claim before a court: route, open, file, fetch, decide, hand in, take back"),
    "credit": ("cli.credit", "applications, assessments, limits, decisions"),
    "demo": ("cli.demo", "the whole story on this machine, on real documents"),
    "evidence": ("cli.evidence", "a case's evidence as one file that proves itself: export"),
    "genesis": ("cli.genesis", "found a consortium: draft, sign, seal, show, dev"),
    "gov": ("cli.gov", "governance: propose, vote, show"),
    "headers": ("cli.headers", "a light client's headers: sync, show; receipts that need no certificates"),
    "inbox": ("cli.inbox", "what waits for a member or party, and what it was told"),
    "ingest": ("cli.ingest", "take documents in: detect, read, seal"),
    "intake": ("cli.intake", "connected systems: tokens, how the ways in stand"),
    "keys": ("cli.keys", "Ed25519 key files: new, show, add, rotate, revoke"),
    "match": ("cli.match", "the lender or insurer that fits: prepare, publish, lender, insurer, show"),
    "node": ("cli.node", "operate a node: run, status, doctor"),
    "notary": ("cli.notary", "preservation: preserve, show; enforceable deeds: draft … issue, deed"),
    "party": ("cli.party", "parties without a node: register, show"),
    "query": ("cli.query", "read a node: block, tx, record, state, …"),
    "record": ("cli.record", "sealed fields: show, disclose, open, readers"),
    "tx": ("cli.tx", "transactions: submit, simulate, show, wait"),
    "up": ("cli.up", "start every node of a development consortium"),
    "verify": ("cli.verify", "check a case's evidence, a proof or bundle offline"),
}

main = RootGroup(
    "tally",
    lazy=COMMANDS,
    help=(
        "A permissioned blockchain for supply-chain finance: operate a node, take documents in, lend, prove.\n\n"
        "Exit codes: 0 done · 2 usage · 3 rejected before ordering · 4 ordered but failed · 5 outcome unknown "
        "(then: tally tx wait ID) · 6 verification failed."
    ),
    params=[*connection_options(environment=True), key_option(environment=True), json_option()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 118},
    invoke_without_command=False,
    no_args_is_help=True,
)
main = click.version_option(package_name="tallystick", prog_name="tally", message="%(prog)s %(version)s")(main)

if __name__ == "__main__":
    main()
