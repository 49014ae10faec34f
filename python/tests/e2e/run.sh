#!/usr/bin/env bash
# Tests a built wheel of oslo-messaging-rs with keystone, ceilometer and a real Kafka.
#   run.sh WHEEL [PYTEST ARGUMENTS...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
(($#)) || { sed -n '2,3s/^# //p' "$0"; exit 2; }
wheel=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$("$here/venv.sh" "$folder/venv" "$wheel")
"$python" -m pytest -p no:cacheprovider --basetemp "$folder/pytest" "$here" "$@"
