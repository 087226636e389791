# Every target does all it needs on a fresh machine: the first one to run makes the environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
TEST_STAMP := $(VENV)/.ready-test
CHECK_STAMP := $(VENV)/.ready-check
STUDY_STAMP := $(VENV)/.ready-study

export OMP_WAIT_POLICY := passive
export GOMP_SPINCOUNT := 0

.PHONY: demo test setup check bench study-demo clean

demo: $(STAMP)  ## set up, run the main job, print where the report is
	$(BIN)/coterie run

test: $(TEST_STAMP)  ## set up, run all tests
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

setup: $(TEST_STAMP) $(CHECK_STAMP)  ## the environment for working on Coterie

check: $(CHECK_STAMP)  ## linters, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## speed against what one would use instead
	$(BIN)/python benchmarks/bank_training.py --quick

study-demo: $(STUDY_STAMP)  ## all arms and seeds of the demo study; goes on where it was stopped
	$(BIN)/python studies/demo.py

# torch comes first and by exact version: any other way of asking may bring several gigabytes for a GPU.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "pip>=25.1"
	$(BIN)/pip install --quiet "torch==2.13.0" -c constraints.txt
	$(BIN)/pip install --quiet -e . -c constraints.txt
	@touch $(STAMP)

# Apart from what a user has: what only tests need would be loaded into every process, and counted as Coterie's memory.
$(TEST_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --group test -c constraints.txt
	@touch $(TEST_STAMP)

$(CHECK_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --group check -c constraints.txt
	@touch $(CHECK_STAMP)

$(STUDY_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --group study -c constraints.txt
	@touch $(STUDY_STAMP)

clean:  ## the environment and all build products; runs/ stays
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
