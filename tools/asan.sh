#!/usr/bin/env bash
# Builds the library and librdkafka with AddressSanitizer and runs the hostile tests with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}
triple=$(rustc -vV | sed -n 's/^host: //p')
# The runtime is the one that comes with rustc. gcc's own has the same interface; with it librdkafka's configure
# script links its probes.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CFLAGS="-fsanitize=address -fno-omit-frame-pointer"
export CARGO_TARGET_DIR=${ASAN_TARGET_DIR:-$cache/asan}
# Bombs: what is asked for and not given is an answer, as without the sanitizer. Leaks: librdkafka's threads are
# abandoned where a coordinator does not answer, on purpose.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0:${ASAN_OPTIONS:-}
exec cargo test --locked --target "$triple" -p oslo-messaging --no-default-features --features kafka,zstd,fake \
  --test hostile -- --nocapture "$@"
