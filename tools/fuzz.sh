#!/usr/bin/env bash
# Runs the fuzz targets of fuzz/, each on its corpus and then for FUZZ_SECONDS (default 60) on what libFuzzer makes of it:
#   fuzz.sh              all of them
#   fuzz.sh TARGET...    some
# New inputs and crashes are kept in the cache; a crash is named, and becomes a file of fuzz/corpus with its fix.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

cache=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}/fuzz
seconds=${FUZZ_SECONDS:-60}
triple=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz would set, without AddressSanitizer: the targets have no unsafe code to watch. Coverage counters are
# an LLVM pass that the stable compiler takes, too.
flags=(--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  flags+=("-Cllvm-args=-sanitizer-coverage-$option")
done
export RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-$cache/target}
mkdir -p "$cache/artifacts" "$CARGO_TARGET_DIR"
# As in own-target.sh.
if [[ $(cat "$CARGO_TARGET_DIR/clone" 2> /dev/null) != "$PWD" ]]; then
  cargo clean --quiet --locked --release --target "$triple" -p fuzz
  echo "$PWD" > "$CARGO_TARGET_DIR/clone"
fi
# With --target the flags are for the targets only, not for build scripts.
cargo build --quiet --locked --release --target "$triple"

targets=("$@")
((${#targets[@]})) || targets=(decode record url config topic ledger rpc)
failed=()
for target in "${targets[@]}"; do
  found=$cache/corpus/$target
  mkdir -p "$found"
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1)
  case $target in
    decode | record | rpc) options+=(-dict=dictionaries/json.dict -max_len=65536) ;;
    url) options+=(-dict=dictionaries/url.dict -max_len=1024) ;;
    config) options+=(-dict=dictionaries/config.dict -max_len=4096) ;;
    *) options+=(-max_len=1024) ;;
  esac
  log=$cache/$target.log
  if "$CARGO_TARGET_DIR/$triple/release/$target" "${options[@]}" -artifact_prefix="$cache/artifacts/$target-" \
    "$found" "corpus/$target" > "$log" 2>&1; then
    coverage=$(sed -n 's/.*\(cov: [0-9]*\).*/\1/p' "$log" | tail -n 1)
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-8s %9d runs, %s edges, %d files of corpus\n' "$target" "$runs" "$coverage" "$(ls "corpus/$target" | wc -l)"
  else
    failed+=("$target")
    printf '%-8s FAILED, see %s\n' "$target" "$log"
    grep -E -m 5 'panicked|ERROR|SUMMARY|Test unit written' -A 1 "$log" || tail -n 5 "$log"
  fi
done
((${#failed[@]} == 0))
