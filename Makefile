# Every task of a contributor, one target each. `make` alone prints the list.
# On a fresh Debian 12 machine with rustup's Rust, as root, each target does its own set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test unit node one e2e bench bench-cluster build lint advisories crds manifests docs setup

help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## show podconfig at work on throwaway nodes; needs root, leaves nothing behind
	@tests/demo.sh

test: setup ## formatting, lints, invariants, unit tests, tests on throwaway nodes; needs root
	@.ci/test

unit: setup ## unit tests and tests of the documents alone; some need root (T="words of names")
	@.ci/one unit $(T)

node: setup ## tests on throwaway nodes alone; needs root (T="words of names")
	@.ci/one node $(T)

one: setup ## the tests with this word in their name, of whichever layer (T=name)
	@.ci/one any $(T)

bench: setup ## what podconfig costs, as ratios, in one table; needs root (PARTS="plugin traffic one tunnel vlan many segment cni")
	@BUILD_BENCH=1 && . .ci/build && "$$RELEASE_FOLDER/bench" $(PARTS)

e2e: setup ## tests of a real cluster: two nodes, podconfig installed, pods; needs root and Go (T="words of names")
	@.ci/e2e $(T) $(STORIES)

bench-cluster: setup ## what podconfig costs on that cluster, next to the API server's own times (PARTS="one many claims attach")
	@.ci/e2e --bench $(PARTS)

build: setup ## the daemon, the plugin and the installer, optimised and static, into target/
	@. .ci/build && printf '%s\n' "$$RECONFD_BIN" "$$PODCONFIG_CNI_BIN" "$$PODCONFIG_INSTALL_BIN"

lint: setup ## formatting, lints, invariants, dependencies and links in rustdoc alone; changes nothing
	@.ci/test lint

advisories: setup ## ask the RustSec database whether a dependency has a known fault; needs the network
	@PATH=$$(.ci/tools):$$PATH cargo deny --locked check advisories

crds: setup ## write crds/*.yaml anew from the types in crds/src
	@UPDATE=1 cargo test --locked --quiet --package crds --test generated

docs: ## write docs/reference/*.md anew from the flags, metrics and definitions in the code
	@UPDATE=1 cargo test --locked --quiet --package reconfd --test reference

manifests: crds ## write install/*.yaml anew from the chart in install/chart; needs helm, on the PATH or in CLUSTER_BIN
	@install/manifests

setup:
	@.ci/setup
