#!/usr/bin/env bash
# Builds the Python wheel, and that of its takeover of kafka://, and installs them beside the reference, confluent-kafka and the tests' tools in a virtual
# environment of its own. Prints the path of that environment's Python. All else goes to standard error.
#   wheel.sh            for tests and benches: optimised, with the system's OpenSSL and the tests' librdkafka
#   wheel.sh release    to be given away: everything linked in
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec 3>&1 >&2

cache=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
wheels=$cache/wheels
python=$(interop/venv.sh python interop/requirements.txt python/tests/requirements.txt)
maturin=${python%/*}/maturin
rm -rf "$wheels"
case ${1:-tests} in
  tests)
    # As in bench.sh: a release, but in the development build's folder and with its dependencies.
    export CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_INCREMENTAL=false
    export CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false
    "$maturin" build --quiet --locked --profile dev --interpreter "$python" --auditwheel skip --out "$wheels" \
      --manifest-path python/Cargo.toml
    ;;
  release)
    "$maturin" build --quiet --locked --release --interpreter "$python" --features ssl-vendored --out "$wheels" \
      --manifest-path python/Cargo.toml
    ;;
  *)
    echo "usage: wheel.sh [release]"
    exit 2
    ;;
esac
"$python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir "$wheels" python/takeover
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$wheels"/*.whl
"$python" -m pip check
echo "$python" >&3
