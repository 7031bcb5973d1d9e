"""``tally bench``: what a fresh four-validator network does on this machine."""

from __future__ import annotations

import signal
from typing import Any

import click

from cli.command import Settings, TallyCommand
from cli.output import note, show, table


@click.command("bench", cls=TallyCommand, example="tally bench --seconds 20 --json > bench.json")
@click.option(
    "--seconds", type=click.FloatRange(2, 600), default=20.0, show_default=True, help="length of each of three phases"
)
@click.pass_obj
def command(settings: Settings, seconds: float) -> None:
    """Measure committed transactions, records and latency of four real nodes started for it, and stop them.

    Run it on a machine that does nothing else. The load is made here, on the same cores.
    """
    from node import bench

    signal.signal(signal.SIGTERM, _interrupt)
    report = bench.run(seconds=seconds, say=note)
    show(settings, report.to_json(), _lines(report))


def _lines(report: Any) -> list[str]:
    rows = [
        [
            phase.name, f"{phase.tx_per_s:,.0f}", f"{phase.records_per_s:,.0f}", phase.blocks, f"{phase.p50_ms:,.0f}",
            f"{phase.p99_ms:,.0f}", f"{max(phase.cpu.values()):.2f}", f"{max(phase.rss_mb.values()):,.0f}",
        ]
        for phase in report.phases
    ]  # fmt: skip
    stages = [[stage, cost, report.batch_stages_us[stage]] for stage, cost in report.stages_us.items()]
    return [
        *table(["phase", "tx/s", "records/s", "blocks", "p50 ms", "p99 ms", "cores a node", "RSS MB"], rows),
        "",
        *table(["stage of one replica, one process", "µs a transaction", "µs a record in batches"], stages),
        "",
        *table(["condition", "value"], [[name, value] for name, value in report.conditions.items()]),
    ]


def _interrupt(_number: int, _frame: Any) -> None:
    """As ^C: the nodes that were started are stopped on the way out."""
    signal.raise_signal(signal.SIGINT)
