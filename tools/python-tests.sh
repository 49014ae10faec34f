#!/usr/bin/env bash
# Builds the wheel, installs it, and runs the tests of the Python driver on it, with the given arguments of pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$(tools/wheel.sh)
# What is in the tree must not stand before what was installed.
exec "$python" -P -m pytest -c python/tests/pytest.ini --rootdir python/tests "${@:-python/tests}"
