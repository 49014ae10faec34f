#!/usr/bin/env bash
# Makes a virtual environment of pinned packages, once for each state of the files that pin them, in the user's cache
# folder, and prints the path of its Python. All else goes to standard error.
#   venv.sh                        the reference oslo.messaging, by requirements.txt
#   venv.sh NAME REQUIREMENTS...   another one, by these files
# Environment: OSLOMSG_CACHE (default the user's cache folder, oslo-messaging-rs), PYTHON (default python3).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}
name=${1:-reference}
shift || true
files=("${@:-$here/requirements.txt}")
hash=$(cat "${files[@]}" | sha256sum | cut -c1-12)
venv=$cache/$name-venv-$hash
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
  echo "venv.sh: making $venv, once; this may take minutes"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  # Nothing that is not pinned: the check finds what a pin is missing for.
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "${files[@]/#/-r}"
  "$venv/bin/python" -m pip check
  : > "$venv/complete"
}

if ! made; then
  mkdir -p "$cache"
  exec 9> "$cache/$name-venv.lock"
  flock -w 1800 9 || { echo "venv.sh: another one holds $cache/$name-venv.lock" >&2; exit 1; }
  made || (make_it)
fi
echo "$venv/bin/python"
