#!/usr/bin/env bash
# The conformance suite, and every compression codec, on Kafka releases that are still in use. `make nightly` calls it.
#   old-brokers.sh [VERSION...]     default: 3.9.2, the last one before 4.0, and 2.0.1, the oldest promised
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

(($#)) || set -- 3.9.2 2.0.1
for version; do
  echo "=== Kafka $version"
  export OSLOMSG_KAFKA_VERSION=$version
  cargo test --locked -p oslo-messaging --features conformance --test conformance -- --nocapture one_node
  cargo test --locked -p oslo-messaging --features conformance --test kafka -- --nocapture every_codec
done
