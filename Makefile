# Every target sets up what it needs: `make test` in a fresh clone is enough.
# Needed: Python 3.11 or newer with venv, a C linker, cargo. PYTHON=... chooses the Python that .venv is made with.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
TOOLS := .venv/tools.stamp
RIVALS := .venv/rivals.stamp
CORE := .venv/core.stamp
AZURITE := 3.35.0
S3RVER := 3.7.1
SERVERS := .venv/node/azurite-$(AZURITE)-s3rver-$(S3RVER).stamp
CORE_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find crates -type d -o -name '*.rs' -o -name Cargo.toml)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv build demo test servers check bench bench-full bench-refresh bench-serving lock need-python need-cargo
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

venv: $(TOOLS) ## Make .venv with the Python tools of requirements-dev.lock

build: need-cargo $(CORE) ## Compile the core and install bedeck into .venv, editable

demo: need-cargo $(CORE) ## Synthesise a catalogue, build it, decorate playlists, compare with a dict
	$(BIN)/bedeck demo

test: need-cargo $(CORE) ## Run the tests of the Rust core, then those of the Python package
	cargo test --release --locked --package bedeck-core --package bedeck-load
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

servers: $(SERVERS) ## Install the servers of objects that some tests start, which need Node and npm

check: need-cargo $(TOOLS) ## Check form, lints and types of everything
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { \
		echo "make: rustfmt or clippy is missing. Install both:  rustup component add rustfmt clippy" >&2; \
		echo "      without rustup, on Debian and Ubuntu:  sudo apt-get install rustfmt rust-clippy" >&2; exit 1; }
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: need-cargo $(CORE) $(RIVALS) ## Measure bedeck against its rivals on this machine, 5 million tracks: a quarter of an hour
	$(BIN)/python -m benchmarks --rebuild

bench-full: need-cargo $(CORE) $(RIVALS) ## The same at 1, 5 and 100 million tracks: 24 GB of memory, 40 GB of disk, an hour or more
	$(BIN)/python -m benchmarks --tracks 1000000,5000000,100000000 --discard

bench-refresh: need-cargo $(CORE) ## Measure a catalogue of 10 million tracks that changes while it is served: 10 minutes or more
	$(BIN)/python -m benchmarks --refresh 10000000

bench-serving: need-cargo $(CORE) $(RIVALS) ## Measure bedeck over HTTP beside other services, 5 million tracks: 20 minutes
	$(BIN)/python -m benchmarks --serving 5000000

lock: need-python ## Write requirements-dev.lock and requirements-bench.lock anew from pyproject.toml, with the newest versions
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet uv
	UV_CUSTOM_COMPILE_COMMAND="make lock" .venv/lock/bin/uv pip compile --quiet --no-config --universal --upgrade \
		--python-version 3.11 --group pyproject.toml:tools --generate-hashes --output-file requirements-dev.lock
	UV_CUSTOM_COMPILE_COMMAND="make lock" .venv/lock/bin/uv pip compile --quiet --no-config --universal --upgrade \
		--python-version 3.11 --group pyproject.toml:rivals --constraint requirements-dev.lock --generate-hashes \
		--output-file requirements-bench.lock

$(TOOLS): requirements-dev.lock
	@$(MAKE) --no-print-directory need-python
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@

$(RIVALS): requirements-bench.lock $(TOOLS)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-bench.lock
	@touch $@

$(SERVERS): $(TOOLS)
	@command -v npm >/dev/null || { echo "make: npm is missing. On Debian and Ubuntu:  sudo apt-get install npm" >&2; exit 1; }
	npm install --prefix .venv/node --no-audit --no-fund --loglevel error azurite@$(AZURITE) s3rver@$(S3RVER)
	@touch $@

$(CORE): $(TOOLS) $(CORE_SOURCES)
	env -u CONDA_PREFIX VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/maturin develop --release
	@touch $@

need-python:
	@test -n "$(PYTHON)" || { \
		echo "make: Python 3.11 or newer is missing. On Debian 12, Ubuntu 24.04 and newer:  sudo apt-get install python3 python3-venv" >&2; \
		echo "      on macOS:  brew install python     one that lies elsewhere:  make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "make: $(PYTHON) is not a Python 3.11 or newer. Name one that is:  make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: $(PYTHON) has no venv module. On Debian and Ubuntu:  sudo apt-get install python3-venv" >&2; \
		echo "      or name another Python:  make PYTHON=/path/to/python3" >&2; exit 1; }

need-cargo:
	@command -v cc >/dev/null || { \
		echo "make: a C linker (cc) is missing. On Debian and Ubuntu:  sudo apt-get install build-essential" >&2; \
		echo "      on Fedora:  sudo dnf install gcc     on macOS:  xcode-select --install" >&2; exit 1; }
	@command -v cargo >/dev/null || { \
		echo "make: cargo is missing. Install Rust:  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2; \
		echo "      then open a new shell, or run:  . \"\$$HOME/.cargo/env\"" >&2; exit 1; }
	@cargo --version >/dev/null || { \
		echo "make: cargo is there and does not run, as told above. With rustup:  rustup default stable" >&2; exit 1; }
	@least=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml); has=$$(cargo --version | cut -d ' ' -f 2); \
		printf '%s\n%s\n' "$$least" "$$has" | sort -V -C || { \
		echo "make: cargo $$has is older than $$least, the oldest that compiles bedeck. Renew it:  rustup update stable" >&2; exit 1; }
