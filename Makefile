# make demo    start the whole stack, run the main scenario, show the result
# make test    everything CI checks, cheapest first
# make up      start the stack and keep it running (Ctrl-C drains it)
# make schema  asks a running stack everything its OpenAPI description allows, and much that it does not
# make bench   throughput beside the bare relay, and the article's case: target/bench/*.json, *.svg

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.tools/bin:$(PATH)
export CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TERM_COLOR ?= never
export CARGO_INCREMENTAL ?= 0

bins := --bin oss --bin collector --bin validator --bin broadcaster

.PHONY: help bootstrap bootstrap-test build demo up schema bench test fmt lint docs deny contracts proxy rules unit tidy

help:
	@sed -n '1,5p' Makefile

bootstrap:
	@scripts/bootstrap.sh run

bootstrap-test:
	@scripts/bootstrap.sh test

build: bootstrap
	cargo build --locked --profile quick $(bins)

demo: build
	$(CARGO_TARGET_DIR)/quick/oss demo

up: build
	$(CARGO_TARGET_DIR)/quick/oss up

bench: bootstrap
	cargo build --locked --release $(bins)
	$(CARGO_TARGET_DIR)/release/oss bench throughput --out $(CARGO_TARGET_DIR)/bench
	$(CARGO_TARGET_DIR)/release/oss bench article --out $(CARGO_TARGET_DIR)/bench

# Not among the tests: it takes two minutes, and more packages than everything else.
schema:
	@scripts/bootstrap.sh schema
	cargo build --locked $(bins)
	scripts/check-openapi.sh

test: bootstrap-test fmt tidy deny proxy rules lint docs contracts unit
	@echo "make test: everything passed"

fmt:
	cargo fmt --all --check

tidy:
	scripts/tidy.sh
	scripts/guards.cjs --fit

deny:
	cargo deny --log-level error check licenses bans sources

lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

contracts:
	contracts/scripts/check.sh

proxy:
	scripts/check-proxy.cjs

rules:
	scripts/check-rules.cjs

unit:
	cargo build --locked $(bins)
	cargo nextest run --locked --workspace
