# Everything runs in a virtual environment of its own; `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUNS ?= runs
.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint docs results bench mutants endurance libraries clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dmoe_gym needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,render,docs,test]'
	touch $(STAMP)

demo: $(STAMP) ## baselines, a short real training run, a table, TensorBoard files and report.md (about five minutes)
	$(BIN)/python -m agents demo --runs $(RUNS)

test: $(STAMP) ## the default tests, under ten minutes on two cores
	$(BIN)/python -m pytest -n 2

test-all: $(STAMP) ## the default tests and the slow ones
	$(BIN)/python -m pytest -n 2 -m ""

lint: $(STAMP) ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## the documentation site in output/site, with the API reference; `mkdocs serve` shows it while you write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

results: $(STAMP) ## runs/ into results/, then docs/results.md, its pictures and the README's table
	$(BIN)/python -m experiments pages learned --set runs=$(RUNS) --into .
	$(BIN)/python -m experiments pages results --into .

bench: $(STAMP) ## speed, as ratios measured side by side
	$(BIN)/python -m pytest benchmarks --benchmark-only -q

mutants: $(STAMP) ## which small changes of the product the tests notice (hours; goes on where it stopped)
	$(BIN)/python -m tests.mutants.campaign

endurance: $(STAMP) ## hostile actions, random configurations, kills, full disks (30 minutes)
	$(BIN)/python -m tests.endurance.endurance

libraries: $(STAMP) ## other libraries on the environments, each group in a virtual environment of its own (downloads)
	$(BIN)/python -m tests.libraries.smoke

clean: ## remove the virtual environment and caches, never runs
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -exec rm -rf {} +
