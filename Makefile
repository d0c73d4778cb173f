# Everything a person does here, one word each. `make` alone prints the list.
# On a fresh Debian 12 machine with rustup's Rust, as root, each word does its own set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test e2e bench bench-cluster build lint crds manifests setup

help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## show podconfig at work on throwaway nodes; needs root, leaves nothing behind
	@tests/demo.sh

test: setup ## formatting, lints, invariants, unit tests, stories on throwaway nodes; needs root
	@.ci/test

bench: setup ## what podconfig costs, as ratios, in one table; needs root (PARTS="plugin traffic one tunnel vlan many segment")
	@. .ci/build && "$$RELEASE_FOLDER/bench" $(PARTS)

e2e: setup ## stories of a real cluster: two nodes, podconfig installed, pods; needs root and Go (STORIES="words of names")
	@.ci/e2e $(STORIES)

bench-cluster: setup ## what podconfig costs on that cluster, beside the API server's own times (PARTS="one many")
	@.ci/e2e --bench $(PARTS)

build: setup ## the daemon and the static plugin, optimised, into target/
	@. .ci/build && printf '%s\n' "$$RECONFD_BIN" "$$PODCONFIG_CNI_BIN"

lint: setup ## formatting, lints and invariants alone; changes nothing
	@.ci/test lint

crds: setup ## write crds/*.yaml anew from the types in crds/src
	@UPDATE=1 cargo test --locked --quiet --package crds --test generated

manifests: crds ## write install/*.yaml anew from the chart in install/chart; needs helm, on the PATH or in CLUSTER_BIN
	@install/manifests

setup:
	@.ci/setup
