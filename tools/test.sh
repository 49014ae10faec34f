#!/usr/bin/env bash
# Runs every check and test, stage by stage, and ends with how many of which kind ran.
# A stage that fails does not keep the others from running; the exit status is that of all.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
names=() counts=() times=() failed_stages=()
passed=0 failed=0 skipped=0

# stage NAME COMMAND...: runs it, and adds up what its test runner says, or counts one check.
stage() {
  local name=$1 begun=$SECONDS status p f s
  shift
  printf '\n=== %s: %s\n' "$name" "$*"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  read -r p f s < <(awk '/^test result:/ { gsub(/[;.]/, ""); p += $4; f += $6; s += $8 }
    /^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 } END { print p+0, f+0, s+0 }' "$log")
  if ((p + f + s == 0)); then
    if ((status == 0)); then p=1; else f=1; fi
  elif ((status != 0 && f == 0)); then
    f=1
  fi
  ((status == 0)) || failed_stages+=("$name")
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  names+=("$name") counts+=("$p passed, $f failed, $s skipped") times+=("$((SECONDS - begun)) s")
}

# rust_tests NAME FILTER...: tests of the workspace, by the arguments of cargo test.
rust_tests() {
  local name=$1
  shift
  stage "$name" cargo test --locked --quiet "${features[@]}" "$@"
}

# What the library does not turn on by itself.
features=(--features oslo-messaging/conformance,oslo-messaging/log-handler,oslomsg/gssapi)

stage format cargo fmt --all --check
stage clippy cargo clippy --workspace --all-targets "${features[@]}" --locked --quiet -- -D warnings
stage docs env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps "${features[@]}" --locked --quiet
stage features tools/features.sh
stage promises tools/named-tests.sh
stage unsafe-code tools/unsafe-code.sh
# Always the whole workspace: another choice of packages would be built with other features.
rust_tests unit --workspace --lib --bins
rust_tests doc-examples --workspace --doc
rust_tests golden --workspace --test golden
rust_tests oslo-config --workspace --test oslo_config -- --nocapture
rust_tests test-kit --workspace --test testkit --test proxy
rust_tests kafka --workspace --test kafka -- --skip interop::
rust_tests rabbit --workspace --test rabbit -- --nocapture --test-threads 2
# All at once: its cases wait more than they work.
rust_tests security --workspace --test security -- --nocapture --test-threads 16
rust_tests hostile --workspace --test hostile
rust_tests memory --workspace --test memory -- --nocapture --test-threads 1
rust_tests conformance --workspace --test conformance -- --nocapture --test-threads 1
rust_tests interop --workspace --test kafka -- interop:: --nocapture
rust_tests bridge --workspace --test bridge --test rpc -- --nocapture
rust_tests command-line --workspace --test cli --test config --test doctor --test spool --test real_kafka --test shutdown --test reload --test secrets
stage python tools/python-tests.sh
# The others are `make services`.
stage services python/tests/e2e/run.sh -k "everything and vhost and before"
stage fuzz env FUZZ_SECONDS=5 tools/fuzz.sh
stage faults cargo run --locked --quiet "${features[@]}" --bin faults -- short
# Fails where a count grew by more than 5 %, or a ratio is worse than half its goal.
stage counts tools/bench.sh counts crates/bench/counts.txt
stage bench tools/bench.sh short
# The long form is `make soak`.
stage soak cargo run --quiet --locked "${features[@]}" --bin soak -- 40s

printf '\n'
for i in "${!names[@]}"; do
  printf '%-14s %-38s %s\n' "${names[i]}" "${counts[i]}" "${times[i]}"
done
if ((skipped > 0)); then
  echo "tests were skipped: a test runs or fails here"
fi
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
((failed == 0 && skipped == 0 && ${#failed_stages[@]} == 0))
