#!/usr/bin/env bash
# The build folder is shared by all clones, so that librdkafka is built once. Cargo tells clones of a workspace
# apart only by the times of their files: what another clone built of the workspace itself is thrown away here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:?}
mkdir -p "$target"
if [[ $(cat "$target/clone" 2> /dev/null) != "$PWD" ]]; then
  cargo clean --quiet --locked -p oslo-messaging -p oslomsg -p testkit -p kafka-testkit -p rabbitmq-testkit -p bench -p soak -p faults -p oslo-messaging-python
  echo "$PWD" > "$target/clone"
fi
