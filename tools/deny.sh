#!/usr/bin/env bash
# Licences, sources and bans of all that is linked in (deny.toml), with a cargo-deny of the cache folder that is
# built once. With ADVISORIES=1 also known vulnerabilities, whose database must be fetched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.20.2
root=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}/cargo-deny-$version
if [[ ! -x $root/bin/cargo-deny ]]; then
  # A build folder of its own, which goes afterwards.
  build=$(mktemp -d)
  trap 'rm -rf "$build"' EXIT
  CARGO_TARGET_DIR=$build cargo install cargo-deny --version "$version" --locked --quiet --root "$root"
fi
checks=(licenses bans sources)
[[ ${ADVISORIES:-0} = 0 ]] || checks+=(advisories)
"$root/bin/cargo-deny" --locked --workspace check --hide-inclusion-graph "${checks[@]}"
