#!/usr/bin/env bash
# Whether `unsafe` stands only where it is known to: the compiler refuses it (`unsafe_code = "deny"`), but for what
# a file allows itself. Of these only native.rs is in the library.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

known="crates/bench/src/raw.rs
crates/oslo-messaging/src/drivers/kafka/native.rs
crates/soak/src/samples.rs
python/src/fork.rs"
found=$(git ls-files '*.rs' | xargs grep -l 'unsafe_code' | sort)
if [[ $found != "$known" ]] || ! grep -q '^unsafe_code = "deny"' Cargo.toml; then
  diff <(echo "$known") <(echo "$found")
  echo "unsafe code is allowed in other files than those that are known"
  exit 1
fi
# The lint is of the workspace: each crate must take it.
for manifest in crates/*/Cargo.toml python/Cargo.toml; do
  grep -A1 '^\[lints\]' "$manifest" | grep -q 'workspace = true' || { echo "$manifest takes no lints"; exit 1; }
done
echo "unsafe code in $(wc -l <<< "$known") known files"
