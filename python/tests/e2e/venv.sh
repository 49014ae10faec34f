#!/usr/bin/env bash
# Makes a virtual environment with keystone, ceilometer and pytest, once for each state of constraints.txt, in the
# user's cache folder, and prints the path of its Python. All else goes to standard error.
#
#   venv.sh                    the services alone, shared by all that use them: install nothing there
#   venv.sh FOLDER [WHEEL...]  a small one in FOLDER on top of it, which has the wheels, too
#
# Environment: OSLOMSG_CACHE (default the user's cache folder, oslo-messaging-rs), PYTHON (default python3).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}
hash=$(sha256sum < "$here/constraints.txt" | cut -c1-12)
venv=$cache/services-venv-$hash
python=${PYTHON:-python3}

# The last step of making it is a file that says so. The base Python may have gone since.
made() {
  [[ -f $venv/complete ]] && "$venv/bin/python" -c '' 2> /dev/null
}

make_it() {
  exec > /dev/stderr < /dev/null
  "$python" -c 'import ensurepip, venv' || {
    echo "venv.sh: $python makes no virtual environments: apt-get install python3-venv (tools/install-deps.sh test installs all)"
    return 1
  }
  echo "venv.sh: making $venv, once; this takes two minutes"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  # Nothing that is not pinned: the check finds what a pin is missing for.
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/constraints.txt"
  "$venv/bin/python" -m pip check
  : > "$venv/complete"
}

# The packages below are seen through a .pth file, so that this takes a second and no download.
layer() { # folder, wheels...
  local folder=$1
  shift
  "$venv/bin/python" -m venv --without-pip "$folder" >&2
  "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    > "$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/services.pth"
  (($# == 0)) || "$venv/bin/python" -m pip --python "$folder/bin/python" install --quiet \
    --disable-pip-version-check --no-index "$@" >&2
  (cd "$folder" && echo "$PWD/bin/python")
}

if ! made; then
  mkdir -p "$cache"
  exec 9> "$cache/services-venv.lock"
  flock -w 1800 9 || { echo "venv.sh: another one holds $cache/services-venv.lock" >&2; exit 1; }
  made || (make_it)
fi
if (($#)); then
  layer "$@"
else
  echo "$venv/bin/python"
fi
