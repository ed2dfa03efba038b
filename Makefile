# Everything a contributor runs. `make test` is what CI runs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS := $(TARGET)/tools

say = @printf '\n== %s\n' "$(1)"

.PHONY: build library demo article test setup fixtures bench corpus fuzz fuzz-replay long-faults lint unit generated policy short-demo clean-demo help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: library ## the release binary, and beside it what it loads into services, in target/release
	cargo build --release --package slackwater
	install -m 755 $(TARGET)/library/libslackwater_alloc.so $(TARGET)/library/libslackwater_agent.so $(TARGET)/release/

library: ## what is loaded into services, target/library/libslackwater_*.so (the profile links no Rust runtime)
	cargo build --profile library --package slackwater-allocator
	cargo build --profile library --package slackwater-agent
	cargo build --profile library --package slackwater-agent --features checked --target-dir $(TARGET)/checked
	@install -D $(TARGET)/checked/library/libslackwater_agent.so $(TARGET)/library/checked/libslackwater_agent.so

demo: ## a real service that keeps its memory: diagnosed, trimmed, run tuned, compared (about 8 minutes)
	@$(PYTHON) demo/run.py

article: ## the experiment of docs/article.md: two servers, four allocators each (about 25 minutes)
	@$(PYTHON) demo/run.py --plan article

test: setup fixtures lint unit fuzz-replay generated policy short-demo ## all checks and tests
	$(call say,all passed)

setup: ## what the tests need from Debian, PyPI and crates.io, only what is missing
	$(call say,setup)
	@scripts/setup $(TOOLS)
	@$(PYTHON) demo/run.py --venv-only

fixtures: ## other Debian releases (glibc 2.31, 2.41, 2.43) and Python wheels, under fixtures/.cache
	$(call say,fixtures)
	@fixtures/fetch || echo 'fixtures: tests will name what they could not cover' >&2
	@fixtures/wheels || echo 'fixtures: tests will name what they could not cover' >&2

lint: ## formatting, clippy, documentation, ruff, shellcheck
	$(call say,format)
	cargo fmt --all --check
	$(call say,clippy)
	cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
	$(call say,documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --quiet
	$(call say,python and shell)
	$(TOOLS)/bin/ruff check --quiet .
	$(TOOLS)/bin/shellcheck fixtures/fetch fixtures/wheels scripts/setup scripts/golden-captures scripts/jemalloc-tests scripts/model-check bench/run fuzz/run .ci/run

unit: library ## all Rust tests
	$(call say,tests)
	cargo test --workspace --doc --quiet
	cargo nextest run --workspace --all-features
	scripts/model-check

fuzz-replay: ## the fuzz targets over their corpus only
	$(call say,fuzz corpus)
	cargo fmt --check --manifest-path fuzz/Cargo.toml --package slackwater-fuzz --package slackwater-fuzz-record
	@fuzz/run --replay

generated: ## dependency floors, and files that are generated from the code
	$(call say,floors and generated files)
	cargo xtask deps
	cargo xtask generate --check

policy: ## licences, advisories and duplicates of dependencies
	$(call say,dependency policy)
	@if command -v cargo-deny >/dev/null; then \
		cargo deny --log-level error check bans licenses sources; \
		if cargo deny --log-level error fetch db >/dev/null 2>&1; then \
			cargo deny --log-level error check advisories; \
		else \
			echo 'skipped: the advisory database cannot be reached'; \
		fi; \
	else \
		echo 'skipped: cargo-deny is not installed (cargo install --locked cargo-deny)'; \
	fi

short-demo: library ## the demo with one round of load and the debug build
	$(call say,demo)
	cargo build --quiet --package slackwater
	@SLACKWATER=$(TARGET)/debug/slackwater SLACKWATER_LIBRARY=$(abspath $(TARGET))/library/libslackwater_alloc.so \
		SLACKWATER_AGENT=$(abspath $(TARGET))/library/libslackwater_agent.so \
		$(PYTHON) demo/run.py --rounds 1 --without-lab

corpus: build ## precision and recall of the verdicts on labelled services
	cargo xtask corpus

long-faults: library ## the tests of faults with their loops in full, LONG_SECONDS each at the most (hours)
	cargo xtask long-faults --seconds $(or $(LONG_SECONDS),600)

fuzz: ## each fuzz target for FUZZ_SECONDS, 60 if not said
	@fuzz/run

bench: build ## every claim of docs/performance.md, measured again
	@bench/run

clean-demo: ## forget the demo's virtual environment
	rm -rf demo/.venv
