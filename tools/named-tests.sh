#!/usr/bin/env bash
# Whether the tests that docs/delivery.md names for its promises exist: a promise whose test is gone is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=0 count=0
while read -r name; do
  # Options look like names of tests.
  ! grep -rq "\"$name\"" crates/oslo-messaging/src/config/messaging || continue
  count=$((count + 1))
  if ! grep -rqE "fn $name\(" crates; then
    echo "docs/delivery.md names a test that does not exist: $name"
    missing=1
  fi
done < <(grep -oE '`[a-z0-9]+(_[a-z0-9]+){3,}`' docs/delivery.md | tr -d '`' | sort -u)
while read -r number; do
  if ! grep -qE "test\($number, " crates/faults/src/tests/mod.rs; then
    echo "docs/delivery.md names a fault test that does not exist: $number"
    missing=1
  fi
done < <(grep -oE 'faults [0-9]+(( to|,| and) [0-9]+)*' docs/delivery.md | grep -oE '[0-9]+' | sort -un)
((count > 50)) || { echo "docs/delivery.md names only $count tests"; missing=1; }
echo "docs/delivery.md names $count tests"
((missing == 0))
