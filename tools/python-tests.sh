#!/usr/bin/env bash
# Builds the wheel, installs it, and runs the tests of the Python driver on it, with the given arguments of pytest.
# Without arguments also: the stubs against what they describe, and the reference's own unit tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$(tools/wheel.sh)
# What is in the tree must not stand before what was installed.
if (($# == 0)); then
  (cd / && "$python" -P -m mypy.stubtest oslo_messaging_rs._native)
  "$python" -P python/tests/reference_tests.py
fi
exec "$python" -P -m pytest -c python/tests/pytest.ini --rootdir python/tests "${@:-python/tests}"
