#!/usr/bin/env bash
# Makes a small virtual environment in FOLDER that has the wheels, on top of one with keystone, ceilometer and pytest,
# which is made once for each state of constraints.txt; prints the path of its Python. All else goes to standard error.
#   venv.sh FOLDER WHEEL...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
services=$("$here/../../../interop/venv.sh" services "$here/constraints.txt")
folder=$1
shift

# The packages below are seen through a .pth file, so that this takes a second and no download.
"$services" -m venv --without-pip "$folder" >&2
"$services" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
  > "$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/services.pth"
"$services" -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check --no-index "$@" >&2
(cd "$folder" && echo "$PWD/bin/python")
