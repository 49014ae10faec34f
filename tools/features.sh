#!/usr/bin/env bash
# What each feature of the library may not bring along, and that it builds without drivers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# without FEATURES PACKAGE: the library with these features alone must not depend on the package.
without() {
  local tree
  tree=$(cargo tree --locked -p oslo-messaging --no-default-features --features "$1" -e normal --prefix none)
  if grep -E "^$2 " <<< "$tree"; then
    echo "feature \"$1\" brings $2 along" >&2
    exit 1
  fi
  echo "feature \"$1\": no $2"
}

without fake rdkafka
without fake rdkafka-sys
without fake tokio
without kafka,ssl,zstd tokio
without rabbit rdkafka
for features in "" fake rabbit; do
  cargo clippy --locked --quiet -p oslo-messaging --no-default-features --features "$features" --lib -- -D warnings
  echo "builds with features \"$features\""
done
