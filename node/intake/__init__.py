"""Taking documents in: files and byte streams → records → batches under one signature → what became of each.

engine.run(inputs, rules, gateway_of, …)     one run; `tally ingest` calls it
worker                                       the process beside a node: watched folders, scheduled pulls, pushes
supervisor.Supervisor                        the node's side of that process

What is sealed is known, so a run that broke off is simply made again: no record is missing, none is there twice.
"""
