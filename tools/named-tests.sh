#!/usr/bin/env bash
# Whether the tests that docs/delivery.md, docs/hybrid.md and docs/security.md name for what they say exist: a
# promise whose test is gone is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=0

# page FILE LEAST: the tests that it names, and whether they are at least so many.
page() {
  local file=$1 least=$2 count=0 name number
  while read -r name; do
    # Options look like names of tests.
    ! grep -rq "\"$name\"" crates/oslo-messaging/src/config/messaging || continue
    count=$((count + 1))
    if ! grep -rqE "fn $name\(" crates; then
      echo "$file names a test that does not exist: $name"
      missing=1
    fi
  done < <(grep -oE '`[a-z0-9]+(_[a-z0-9]+){3,}`' "$file" | tr -d '`' | sort -u)
  while read -r number; do
    if ! grep -qE "test\($number, " crates/faults/src/tests/mod.rs; then
      echo "$file names a fault test that does not exist: $number"
      missing=1
    fi
  done < <(grep -oE 'faults [0-9]+(( to|,| and) [0-9]+)*' "$file" | grep -oE '[0-9]+' | sort -un)
  ((count >= least)) || { echo "$file names only $count tests"; missing=1; }
  echo "$file names $count tests"
}

page docs/delivery.md 51
page docs/hybrid.md 11
page docs/security.md 20
((missing == 0))
