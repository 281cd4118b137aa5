# Thin: every recipe is a check of what is missing and one task of `cargo xtask`.

# Containers need root. Building does not.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
XTASK := target/release/xtask
# A Rust that rustup has just brought is not yet on the shell's PATH.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo demo-down build test lint bench

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build drua, run a Linux and a Wasm container side by side, prove it, print the URLs
	@scripts/need rust demo
	cargo build --release --locked -p drua -p xtask
	$(XTASK) demo-images
	$(SUDO) $(XTASK) demo

demo-down: ## Remove everything that the demo made
	@scripts/need rust
	cargo build --release --locked -p xtask
	$(SUDO) $(XTASK) demo-down

build: ## Build target/release/drua
	@scripts/need rust
	cargo build --release --locked -p drua

test: ## Format, lints, architecture, then every test (as root)
	@scripts/need rust demo test
	cargo build --release --locked -p drua -p xtask
	$(XTASK) demo-images
	$(XTASK) init-images
	$(SUDO) env PATH="$$PATH" HOME="$$HOME" $(XTASK) ci

lint: ## Format, lints and architecture only
	@scripts/need rust
	cargo xtask lint

bench: ## Measure drua beside its peers and update docs/performance.md
	@scripts/need rust demo bench
	cargo build --release --locked -p drua -p xtask
	$(SUDO) env PATH="$$PATH" $(XTASK) bench
