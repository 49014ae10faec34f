#!/usr/bin/env bash
# Builds the bench and runs it with the given arguments. Beside librdkafka and Python its figures go to a file in the
# cache folder, or to BENCH_JSON.
#
# It is optimised as a release, but in the development build's folder and with its dependencies: librdkafka, which takes
# minutes, is compiled once for tests and bench. So the profile stands here and is none of Cargo.toml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}
profile=()
for setting in opt-level=3 incremental=false debug-assertions=false overflow-checks=false; do
  profile+=(--config "profile.dev.$setting")
done
# The whole workspace with the tests' features: another choice would build everything anew.
cargo build --quiet --locked --workspace --features oslo-messaging/conformance,oslo-messaging/log-handler,oslomsg/gssapi \
  "${profile[@]}" --bin bench
# Not the file itself, which the next build of the tests replaces.
program=$(mktemp -d)/bench
trap 'rm -rf "$(dirname "$program")"' EXIT
cp "${CARGO_TARGET_DIR:-target}/debug/bench" "$program"
# Counts need no broker and no Python.
[[ $1 == counts ]] || BENCH_PYTHON=$(tools/wheel.sh)
export BENCH_PYTHON
BENCH_JSON=${BENCH_JSON:-$cache/bench-$1.json} "$program" "$@"
