# Targets that run tests, benches or the demo first install what they need (scripts/setup.sh);
# `make help` lists all targets.
CARGO ?= cargo
FUZZ_SECONDS ?= 60
# All but the C libraries.
OWN := mesh,sim,import,proxy
# Off by default.
OFF := ipnet,json,serde,tracing
# The parts of `make check`. Without the C libraries it does not run again what only walks packets,
# or reads and lists.
PARTS := fmt lint features msrv api doc test test-own build
WALKS := inside::mutants inside::mutated inside::language inside::sayings inside::text sim:: \
	every_option_and_every_pair every_rule_of_the_dumps rules_of_node_programs \
	the_twelve_cases unchanged_tproxy without_refusals
FEATURES := ipnet '' nftnl mesh sim import json proxy serde tracing sim,serde,tracing mesh,proxy sim,import nftnl,mesh $(OWN)

# The features with which docs.rs builds the documentation.
DOCS = $(shell sed -n '/docs\.rs\]/,$$ { s/^features = \[\(.*\)\]/\1/p; }' Cargo.toml | tr -d '" ')
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
TARGET = $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo test test-own e2e features msrv portable deploy api bless-api soak soak-node check fmt lint doc build bench bless fuzz kernels setup

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

demo: ## show the crate at work
	@sh scripts/setup.sh demo
	@$(CARGO) run --quiet --release --locked --example demo

test: ## run every test; one that cannot run here prints SKIP and the reason
	@sh scripts/setup.sh test
	$(CARGO) test --locked --features $(OFF)

test-own: ## run every test with our own encoder, without the C libraries
	@sh scripts/setup.sh test
	PKG_CONFIG=false $(CARGO) test --locked --no-default-features --features $(OWN) -- $(addprefix --skip ,$(WITHOUT))

e2e: ## run pods with real Envoys, and containers of podman with them
	@sh scripts/setup.sh e2e
	$(CARGO) build --locked --features $(OFF) --example guard --example istio-init --example mesh-cni
	NFTMESH_E2E=1 $(CARGO) test --locked --features $(OFF) --test e2e --test e2e_steps --test e2e_podman -- --nocapture --test-threads 1

features: ## build the library with each supported set of features
	@for features in $(FEATURES); do \
		echo "features: $$features"; \
		$(CARGO) clippy --quiet --lib --locked --no-default-features --features "$$features" -- -D warnings || exit 1; \
	done

msrv: ## build the library with the oldest supported compiler, and for other processors
	scripts/msrv.sh

api: ## show how the public interface differs from tests/golden/api.txt
	scripts/api.sh

bless-api: ## write tests/golden/api.txt anew
	NFTMESH_BLESS=1 scripts/api.sh

# A build with no interpreter needs no file of the system that it runs on.
portable: ## build what is published: a static program, the documentation as docs.rs does, the package
	RUSTFLAGS='-C target-feature=+crt-static' PKG_CONFIG=false $(CARGO) build --locked --target $(HOST) \
		--no-default-features --features $(OWN) --example istio-init
	! readelf --program-headers $(TARGET)/$(HOST)/debug/examples/istio-init | grep INTERP
	PKG_CONFIG=false RUSTDOCFLAGS='-D warnings --cfg docsrs' $(CARGO) doc --no-deps --locked --no-default-features --features $(DOCS)
	$(CARGO) package --locked

deploy: ## try deploy/: the unit, and the image in a container that heals a pod
	@sh scripts/setup.sh test
	RUSTFLAGS='-C target-feature=+crt-static' PKG_CONFIG=false $(CARGO) build --locked --release --target $(HOST) \
		--no-default-features --features $(OWN) --example mesh-node
	scripts/deploy.sh $(TARGET)/$(HOST)/release/examples/mesh-node

soak: ## a million connections through every configuration change, 500 rounds of writers; up to an hour
	@sh scripts/setup.sh test
	$(CARGO) build --locked --release --examples
	NFTMESH_SOAK=1 NFTMESH_REQUIRE_KERNEL=1 $(CARGO) test --locked --release --test transitions --test writers --test kuma_pairs --test linkerd_pairs --test ambient_pairs --test istio_pairs --test mesh_node_soak -- --nocapture --test-threads 1

soak-node: ## mesh-node under vandals and kills for NFTMESH_SOAK_SECONDS, ten minutes
	@sh scripts/setup.sh test
	$(CARGO) build --locked --example mesh-node
	NFTMESH_SOAK=1 NFTMESH_REQUIRE_KERNEL=1 $(CARGO) test --locked --test mesh_node_soak -- --nocapture

check: ## run every check that a merge needs; a warning is an error
	@sh scripts/setup.sh check
	@for part in $(PARTS); do \
		begun=$$(date +%s); \
		$(MAKE) --no-print-directory $$part WITHOUT='$(WALKS)' || exit 1; \
		echo "check: $$part took $$(($$(date +%s) - begun)) s"; \
	done

fmt: ## check the formatting
	$(CARGO) fmt --all --check

lint: ## run clippy over library, tests, examples and benches
	$(CARGO) clippy --all-targets --locked --features $(OFF) -- -D warnings
	$(CARGO) clippy --all-targets --locked --no-default-features --features $(OWN) -- -D warnings
	$(CARGO) clippy --all-targets --locked --no-default-features -- -D warnings

doc: ## build the documentation
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --features $(OFF)

# The benches as they run, but for the slow optimisation across crates.
build: ## build examples and benches without running them
	$(CARGO) build --locked --examples --features $(OFF)
	CARGO_PROFILE_BENCH_LTO=off CARGO_PROFILE_BENCH_CODEGEN_UNITS=16 $(CARGO) bench --locked --no-run

bench: ## run the benches
	@sh scripts/setup.sh test
	$(CARGO) build --locked --release --examples
	$(CARGO) bench --locked

bless: ## rewrite the golden files from what the tests produce now; explain why in the commit
	@sh scripts/setup.sh test
	NFTMESH_BLESS=1 $(CARGO) test --locked

fuzz: ## run each fuzz target for FUZZ_SECONDS (needs nightly and cargo-fuzz)
	@$(CARGO) +nightly --version >/dev/null 2>&1 || \
		{ echo "fuzz: no nightly toolchain; run rustup toolchain install nightly" >&2; exit 1; }
	@$(CARGO) +nightly fuzz --version >/dev/null 2>&1 || \
		{ echo "fuzz: no cargo-fuzz; run cargo install cargo-fuzz" >&2; exit 1; }
	@for target in $$($(CARGO) +nightly fuzz list); do \
		mkdir -p fuzz/target/corpus/$$target; \
		$(CARGO) +nightly fuzz run $$target fuzz/target/corpus/$$target tests/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=2048 -print_final_stats=1 || exit 1; \
	done

kernels: ## boot Debian's kernels in qemu and run the kernel tests on each (an hour or more)
	@sh scripts/setup.sh kernels
	scripts/kernels.sh

setup: ## install what build, tests and checks need
	@sh scripts/setup.sh check
