# A list of entry points. The work is done by CMake's presets and by scripts/.
.PHONY: help setup build debug demo test test-unit test-asan test-tsan test-portable test-fuzz test-wire test-apple test-e2e test-cluster crash-points chaos soak test-nomad fuzz bench doctor lint format install clean
.DEFAULT_GOAL := help

PREFIX ?= /opt/nomad/plugins

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "  %-14s %s\n", $$1, $$2}' | sed 's/^    /  /'

setup: ## install what is missing to build, run and test
	@scripts/setup

build: ## build the plugin: build/release/bin/nomad-driver-container
	@scripts/setup
	@scripts/build release

debug: ## build with debug information and without optimisation
	@scripts/setup
	@scripts/build debug

demo: ## run a real job through a real Nomad agent and show what happens
	@scripts/demo

test: ## run every test suite and lint; ends with the count of test cases
	@scripts/test

test-unit: ## C++ tests of all layers, real containers included
	@scripts/test unit

test-asan: ## C++ tests of all layers, and the plugin behind Nomad's client, under AddressSanitizer and UBSan
	@scripts/test asan asan-wire

test-tsan: ## C++ tests of all layers, and the plugin behind Nomad's client, under ThreadSanitizer
	@scripts/test tsan tsan-wire

test-portable: ## C++ tests of the build without Linux-only files
	@scripts/test portable

test-fuzz: ## each decoder under libFuzzer for FUZZ_SECONDS (default 3)
	@scripts/test fuzz

test-wire: ## Nomad's own client packages drive the binary
	@scripts/test wire

test-apple: ## the Apple runtime over all five versions of the stand-in for its CLI: wire, agent, NDC_FLEET tasks at once (default 500)
	@NDC_APPLE_VERSIONS="0.11.0 0.12.3 1.0.0 1.1.0 1.2.2" NDC_FLEET=$${NDC_FLEET:-500} scripts/test apple

test-e2e: ## a real Nomad agent runs real jobs over Podman
	@scripts/test e2e

test-cluster: ## a server and three clients, which are killed, drained and cut off
	@scripts/test cluster

crash-points: ## kill plugin, monitor, CLI and conmon at every named point: build/crash-points.md
	@scripts/crash-points

soak: ## restart SOAK_TASKS tasks (default 3000) over each runtime: what the plugin holds stays flat
	@scripts/test soak

chaos: ## random faults around a real agent for CHAOS_SECONDS (default 600); CHAOS_SEED repeats a run
	@CHAOS_SECONDS=$${CHAOS_SECONDS:-600} scripts/test chaos

test-nomad: ## end to end with another agent: make test-nomad NOMAD=1.8.4 [NOMAD_BIN=/path/to/nomad]
	@NDC_NOMAD="$(NOMAD)" NOMAD_BIN="$(NOMAD_BIN)" scripts/test e2e

fuzz: ## fuzz each decoder for FUZZ_SECONDS (default 60)
	@scripts/fuzz

bench: ## measure against bare podman: build/bench.json and a table
	@scripts/bench

doctor: build ## check whether tasks can run on this host
	@build/release/bin/nomad-driver-container doctor

lint: ## formatting, layer rules, clang-tidy
	@scripts/lint

format: ## put the sources into the project's format
	@find src tests examples -name '*.cpp' -o -name '*.hpp' | xargs clang-format -i

install: build ## copy the plugin to PREFIX (default /opt/nomad/plugins)
	@install -d "$(DESTDIR)$(PREFIX)"
	@install -s -m 0755 build/release/bin/nomad-driver-container "$(DESTDIR)$(PREFIX)/"
	@echo "installed to $(DESTDIR)$(PREFIX)"

clean: ## remove what was built (not the cache in ~/.cache)
	@rm -rf build
