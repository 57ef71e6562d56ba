# What can be typed here: `make help`. Nothing outside this folder is changed, but for the packages of `make test` (apt, said).
SHELL := /bin/sh
.DEFAULT_GOAL := help
ARGS ?=
ONLY ?=
PY := .venv/bin/python
# Compiled modules are kept in .venv and __pycache__: without them each start compiles for some seconds.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo venv venv-dev check lint test faults drill bench screenshots lock clean

help: ## this list
	@printf 'shinkei - the nervous system of a factory\n\n'
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)$$/  make \1|\2/p' Makefile | while IFS='|' read -r word text; do printf '%-20s %s\n' "$$word" "$$text"; done

demo: ## a whole plant on this machine and the address of its board   (ARGS="--calm --seed 7")
	@tools/make-venv all
	@exec .venv/bin/shinkei demo $(ARGS)

venv: ## .venv with the pinned packages
	@tools/make-venv all

venv-dev: ## the same, with what checks and tests need
	@tools/make-venv all,dev

check: venv-dev ## under 90 s: format, lint, types, import rules; unit, property and contract tests
	@$(PY) tools/run_tests.py check

lint: venv-dev ## the part of `make check` that runs no tests
	@$(PY) tools/run_tests.py lint

test: venv-dev ## installs what tests need (apt, Maven), then everything but the long tiers
	@$(PY) tools/run_tests.py prepare
	@exec $(PY) tools/run_tests.py test

faults: venv-dev ## all fault tests at full size: kills, cuts, hangs, restarts
	@$(PY) tools/run_tests.py prepare
	@exec $(PY) tools/run_tests.py faults

drill: venv-dev ## faults planted in the line, traced by the product, compared with the truth
	@exec $(PY) tools/run_tests.py drill $(ARGS)

bench: venv-dev ## benchmarks, one JSON object a line   (ONLY='^gateway\.')
	@exec $(PY) tools/run_bench.py --only '$(ONLY)' $(ARGS)

screenshots: venv-dev ## pictures of the screens in both languages, into docs/screenshots/
	@exec $(PY) tools/screenshots.py $(ARGS)

lock: venv-dev ## the newest set of packages that pyproject.toml allows, into constraints.txt
	@tools/lock

clean: ## removes .venv, caches and builds; keeps .shinkei, where a demo stores
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
