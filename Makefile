# Every target does its own set-up: it needs Python 3.11 or 3.12, make and a C compiler.

PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11, 1) <= sys.version_info[:3] < (3, 13))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := blindfit keys client_app server_app
ONLY ?=
DATA ?=

export UV_HTTP_TIMEOUT := 600
export UV_NO_PROGRESS := 1
export FLWR_TELEMETRY_ENABLED := 0

.PHONY: help install demo test check integration bench proto lock format clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Create .venv with everything in requirements.lock

$(STAMP): requirements.lock requirements-uv.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 (3.11.1 or later) or 3.12 is needed: install it, \
	or name it with 'make PYTHON=/path/to/python3.12'"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## The whole story on scikit-learn's digits, in a few minutes
	$(BIN)/python -m demo

check: $(STAMP) ## Lint, types, import rules, stubs, unit tests
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	sh scripts/check_proto.sh $(BIN)/python
	$(BIN)/python scripts/check_readme.py
	$(BIN)/pytest -q -m "not slow" -n 2 --dist loadfile

test: check ## check, and the tests with real FHE, Flower, nginx and daemons
	sh scripts/install_nginx.sh
	$(BIN)/pytest -q -m slow -n 2 --dist loadfile --no-loadscope-reorder

bench: $(STAMP) ## Measure; ONLY=serve runs a part, DATA=mnist.npz names the data
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(if $(DATA),--data $(DATA))

proto: $(STAMP) ## Generate blindfit/v1 from proto/
	sh scripts/generate_proto.sh $(BIN)/python .

lock: $(STAMP) ## Resolve requirements.lock anew
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11.1 \
		--generate-hashes --no-emit-index-url --no-annotate --quiet \
		--custom-compile-command "make lock" -o requirements.lock
	echo "uv==$$($(BIN)/uv --version | cut -d' ' -f2)" | $(BIN)/uv pip compile - --universal \
		--generate-hashes --no-emit-index-url --no-annotate --quiet \
		--custom-compile-command "make lock" -o requirements-uv.lock

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

clean: ## Remove what was built, and the environment
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
