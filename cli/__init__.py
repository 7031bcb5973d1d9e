"""The ``tally`` command: parse, call, print."""
