# Commands of this repository. `make demo` and `make test` install what they need.
#   make demo      the main job: embedded broker, the corpus sent, two pools listening
#   make test      everything that must hold: format, lints, docs, tests on real brokers
#   make check     the development loop: format, lints, docs, unit tests
#   make nightly   what is slow: every feature alone, the vendored build
#   make deny      licences and sources of all that is linked in; with ADVISORIES=1 known vulnerabilities
#   make wheel     the Python driver, everything linked in; make python-tests builds a quick one and tests it
#   make services  keystone to ceilometer by the Python driver, every case (8 minutes)
#   make bench     this library, raw librdkafka and the Python library side by side (7 minutes)
#   make bench-short  the same in 90 seconds; fails where a ratio is worse than half its goal
#   make fuzz      each fuzz target for FUZZ_SECONDS (60) on what reaches new code
#   make asan      damaged answers again, with AddressSanitizer in the library and in librdkafka
#   make faults    real brokers, members and sends killed, frozen and cut off (45 minutes)
#   make counts    instructions for each notification, beside those that are kept; make counts-renew
#   make soak      an hour on a broker that restarts: memory, descriptors, threads, lost, twice (MINUTES=60)
#   make docs      renews docs/options.md from the table of options

SHELL := bash
cache := $(or $(OSLOMSG_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/oslo-messaging-rs)
export OSLOMSG_CACHE := $(cache)
# Outside the clone, so that a clean clone is not a cold build.
export CARGO_TARGET_DIR ?= $(cache)/target

# What the library does not turn on by itself.
features := --features oslo-messaging/conformance,oslo-messaging/log-handler,oslomsg/gssapi

.PHONY: demo test check nightly deny wheel python-tests services fuzz asan docs deps-build deps-check deps-test

demo: deps-build
	cargo run --quiet --locked -p oslomsg -- demo

test: deps-test
	tools/test.sh

check: deps-check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(features) --locked --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps $(features) --locked --quiet
	cargo test --workspace --lib --bins $(features) --locked --quiet

nightly: deps-test
	tools/nightly.sh

deny:
	tools/deny.sh

wheel: deps-test
	tools/wheel.sh release

python-tests: deps-test
	tools/python-tests.sh

services: deps-test
	tools/wheel.sh
	python/tests/e2e/run.sh

fuzz: deps-build
	tools/fuzz.sh $(TARGET)

asan: deps-build
	tools/asan.sh

docs: deps-build
	OSLOMSG_RENEW_DOCS=1 cargo test -p oslo-messaging --lib --locked docs

deps-build:
	@tools/install-deps.sh build
	@tools/own-target.sh

deps-check:
	@tools/install-deps.sh check
	@tools/own-target.sh

deps-test:
	@tools/install-deps.sh test
	@tools/own-target.sh

# Beside raw librdkafka and the Python library on the same broker; the figures go to BENCH_JSON.
.PHONY: bench bench-short counts counts-renew
bench bench-short: deps-test
	tools/bench.sh $(if $(findstring short,$@),short,full)

counts counts-renew: deps-test
	tools/bench.sh counts crates/bench/counts.txt $(if $(findstring renew,$@),renew)

# FAULTS="2 10" runs only these; the counters go to FAULTS_JSON.
.PHONY: faults
faults: deps-test
	cargo build --quiet --locked --workspace $(features) --bin faults
	FAULTS_JSON=$(cache)/faults.json $(CARGO_TARGET_DIR)/debug/faults full $(FAULTS)

# A notifier, two listeners and a broker that restarts every 10 minutes.
.PHONY: soak
MINUTES ?= 60
soak: deps-test
	cargo build --quiet --locked --workspace --bins $(features)
	$(CARGO_TARGET_DIR)/debug/soak $(MINUTES)
