# Two commands do all the set-up: `make demo` and `make test`. Both are quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BASELINES := $(VENV)/baselines-installed
SITE_TOOLS := $(VENV)/site-tools-installed

.PHONY: demo test bench docs release lint format clean

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2

# The packages that the benchmark compares with, one by one. A package that cannot be installed is
# named in the tables and tried again the next time.
$(BASELINES): $(INSTALLED)
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], sep="\n")' \
	    | xargs -n 1 $(BIN)/python -m pip install --quiet --constraint constraints.txt \
	    && touch $@ || true

bench: $(BASELINES)
	$(BIN)/python -m benchmarks --out docs/benchmarks.md

# About 200 MB, so they are not in the extra dev.
$(SITE_TOOLS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

docs: $(SITE_TOOLS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Downloads several GB and takes about half an hour. dist must be empty: make clean removes it.
release: $(INSTALLED)
	$(BIN)/python scripts/release.py --out dist

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_words.py

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo build dist src/*.egg-info
