# Needs only Python >= 3.11, git and make. Everything is installed into .venv with the versions of
# constraints.txt.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   := pipelines/flights.yaml
# More arguments for pytest, for instance: make test PYTEST_ARGS="-k folds -x"
PYTEST_ARGS ?=

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo first-steps test lint format docs bench compose-check clean
.DELETE_ON_ERROR:

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "distreg needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# One stamp for each set of extras: made anew when the requirements change.
$(VENV)/%.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt
	@echo "Installing distreg[$*] into $(VENV) (the first time takes a few minutes)"
	$(INSTALL) -e ".[$*]"
	@touch $@

data/flights.parquet: pipelines/prepare_flights.py | $(VENV)/examples.stamp
	$(BIN)/python pipelines/prepare_flights.py $@

demo: $(VENV)/examples.stamp data/flights.parquet ## cross-validate L1, L2 and Elastic Net on 327,346 flights
	$(BIN)/distreg run $(DEMO)
	@echo
	@echo "Where to look:"
	@echo "  runs/flights/figures/comparison.png   all penalties; one folder beside it for each"
	@echo "  runs/flights/                         report, coefficients, paths, model"
	@echo "  MLflow                                $(BIN)/mlflow ui --backend-store-uri sqlite:///runs/mlflow.db"
	@echo "                                        then open http://127.0.0.1:5000"

first-steps: $(VENV)/examples.stamp ## the same on a small table, in seconds
	$(BIN)/distreg run pipelines/first_steps.yaml

lint: $(VENV)/lint.stamp ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/lint.stamp ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/docs.stamp ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: $(VENV)/examples.stamp ## time against scikit-learn (minutes)
	$(BIN)/python benchmarks/bench_tall.py

compose-check: ## check docker-compose.yml (needs Docker Compose v2)
	docker compose config --quiet

clean: ## remove what the targets made, but not .venv, data and runs
	rm -rf docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

test: $(VENV)/test.stamp ## all tests
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)
