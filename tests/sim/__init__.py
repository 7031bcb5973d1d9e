"""The seeded simulator: the real core, signer, journal, execution and ledger, n at a time, in virtual time.

    python -m tests.sim --seeds 2000 --nodes 4-7 --jobs 2      (or: make sim SEEDS=2000)

One seed is one run, and always the same run: a fault plan is drawn from it (``faults``), the network obeys
the plan (``network``), nodes crash and come back with what their disks kept (``node``, ``disk``), up to f
validators lie (``byzantine``), and every step is checked (``checker``). ``world`` is the event heap that
drives them; ``planted`` holds the bugs that prove the checks.
"""
