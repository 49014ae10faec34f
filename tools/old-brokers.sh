#!/usr/bin/env bash
# The conformance suite, and every compression codec, on Kafka releases that are still in use. `make nightly` calls it.
#   old-brokers.sh [VERSION...]     default: 3.9.2, the last one before 4.0, and 2.0.1, the oldest promised
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# one_test PROGRAM NAME: a name that no test has any more would pass unseen.
one_test() {
  # The whole workspace with the features of test.sh: another choice would be built anew.
  cargo test --locked --quiet --workspace --features oslo-messaging/conformance,oslo-messaging/log-handler,oslomsg/gssapi \
    --test "$1" -- --nocapture "$2" 2>&1 | tee >(cat >&2) | grep -c '^test result: ok. 1 passed' > /dev/null
}

(($#)) || set -- 3.9.2 2.0.1
for version; do
  echo "=== Kafka $version"
  export OSLOMSG_KAFKA_VERSION=$version
  one_test conformance one_node
  one_test kafka every_codec
done
