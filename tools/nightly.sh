#!/usr/bin/env bash
# What is too slow for every change: each feature alone, and the build that links OpenSSL in.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for features in "" fake rabbit kafka kafka,ssl kafka,zstd kafka,fake,ssl,zstd; do
  echo "=== features \"$features\""
  cargo clippy --locked -p oslo-messaging --no-default-features --features "$features" --lib -- -D warnings
  cargo test --locked -p oslo-messaging --no-default-features --features "$features" --lib
done
for features in "" rabbit kafka; do
  echo "=== oslomsg with features \"$features\""
  cargo clippy --locked -p oslomsg --no-default-features --features "$features" --bins -- -D warnings
done
echo "=== vendored OpenSSL"
cargo build --locked -p oslo-messaging --features ssl-vendored
echo "=== memory, a million notifications behind"
OSLOMSG_MEMORY_BACKLOG=1000000 cargo test --locked --workspace --features oslo-messaging/conformance,oslo-messaging/log-handler,oslomsg/gssapi \
  --test memory -- --nocapture --test-threads 1
tools/old-brokers.sh
tools/deny.sh
