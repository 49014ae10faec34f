#!/usr/bin/env bash
# Tests the built wheel (tools/wheel.sh) with keystone, ceilometer and a real Kafka.
#   run.sh [PYTEST ARGUMENTS...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}
wheel=$(echo "$cache"/wheels/oslo_messaging_rs-*.whl)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$("$here/venv.sh" "$folder/venv" "$wheel")
"$python" -m pytest -p no:cacheprovider --basetemp "$folder/pytest" "$here" "$@"
