# Entry points. Everything runs inside .venv, which .ci/setup.sh makes on first use; `make help` lists the targets.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
FOLDERS := contracts chain consensus genesis node cli tallystick
SEEDS ?= 200
COMPUTING := tests/sim tests/fakes tests/test_pythons.py

.PHONY: help env env-dev demo test check lint types imports fast slow sim bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|' 2>/dev/null \
		|| grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)

env: ## the environment to run: .venv, and missing Debian packages when run as root
	@.ci/setup.sh node

env-dev: ## the environment to develop: the same with test tools
	@.ci/setup.sh node,dev
	@.ci/other-python.sh

demo: env ## four validators and the whole story on real documents; INPUT=DIR takes others, KEEP=1 leaves it running
	@.venv/bin/tally demo $(if $(INPUT),--input "$(INPUT)") $(if $(KEEP),--keep)

test: check slow ## everything CI checks, about 19 minutes on two cores

check: env-dev ## the fast part, about two minutes: style, types, import direction, quick tests
	@$(MAKE) -k -j2 --output-sync=target lint imports types fast

lint:
	@.venv/bin/ruff check .

imports:
	@.venv/bin/lint-imports --no-logo

types:
	@.venv/bin/mypy --strict $(FOLDERS) tests

fast:
	@$(PY) -m pytest -q -n 2 -m "not slow"

slow: env-dev ## the tests that need processes or minutes; those that only compute go side by side
	@$(PY) -m pytest -q -n 2 -m slow $(COMPUTING)
	@$(PY) -m pytest -q -m slow $(COMPUTING:%=--ignore=%)

sim: env-dev ## the agreement under faults: SEEDS=n runs (default 200)
	@$(PY) -m tests.sim --seeds $(SEEDS) --nodes 4-7 --jobs $$(nproc)

bench: env ## throughput and latency of four validators on this machine
	@.venv/bin/tally bench

clean: ## remove all that make has made, .venv included
	@rm -rf .venv .other-python build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .anvil .bcoin demo-run
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
