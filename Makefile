# The commands of this repository. `make` lists them; README.md and CONTRIBUTING.md say when to use which.
# Every gate of `make test` is a target of its own and prints one line before it runs.

SHELL := /bin/sh
# A toolchain that rustup has just installed is found before the shell has been started anew.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

CBS_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cbs/tools
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
# How the stories in tests/ find the program under test.
CBS_BIN := $(TARGET)/debug/cbs
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
export CBS_TOOLS CBS_BIN

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
