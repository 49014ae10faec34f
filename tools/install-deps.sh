#!/usr/bin/env bash
# Installs what this project needs from Debian 12, if it is missing and if it may (root, or sudo without password):
#   install-deps.sh build   to compile it
#   install-deps.sh check   to compile it with every feature
#   install-deps.sh test    to test it: real brokers, the reference oslo.messaging, certificates
# What works counts, whatever it came from. Says nothing and exits 0 when nothing is missing; exits 1 with the
# command to run when it may not install.
set -euo pipefail

missing=()

need() { # package, command that succeeds if it is there
  local package=$1
  shift
  "$@" > /dev/null 2>&1 || missing+=("$package")
}

has() { # commands
  local name
  for name; do command -v "$name" || return 1; done
}

header() { # include file
  echo "#include <$1>" | cc -E -
}

rabbitmq() {
  compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server'
}

java_17() {
  local major
  major=$("${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  ((major >= 17))
}

gssapi_module() {
  compgen -G '/usr/lib*/*/sasl2/libgssapiv2.so*' || compgen -G '/usr/lib*/sasl2/libgssapiv2.so*'
}

build() {
  need gcc has cc
  need g++ has c++
  need libc6-dev header stdio.h
  need make has make
  need pkg-config has pkg-config
  need libssl-dev header openssl/ssl.h
  need zlib1g-dev header zlib.h
}

check() {
  need libsasl2-dev header sasl/sasl.h
}

tests() {
  need openjdk-17-jre-headless java_17
  need maven has mvn
  need python3-venv python3 -c 'import ensurepip, venv'
  need openssl has openssl
  need util-linux has flock setpriv setsid
  need valgrind has valgrind
  need rabbitmq-server rabbitmq
  PATH=$PATH:/usr/sbin need krb5-kdc has krb5kdc kdb5_util
  PATH=$PATH:/usr/sbin need krb5-admin-server has kadmin.local
  need krb5-user has kinit
  need libsasl2-modules-gssapi-mit gssapi_module
}

install_missing() {
  ((${#missing[@]})) || return 0
  local as=()
  ((EUID == 0)) || as=(sudo -n)
  if ! has apt-get > /dev/null || ! "${as[@]}" true 2> /dev/null; then
    echo "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    exit 1
  fi
  "${as[@]}" apt-get update
  local get=("${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
  if [[ " ${missing[*]} " =~ \ (rabbitmq-server|krb5-kdc|krb5-admin-server)\  ]]; then
    without_services "${get[@]}" "${missing[@]}"
  else
    "${get[@]}" "${missing[@]}"
  fi
}

# The tests run a RabbitMQ and a Kerberos realm of their own: those of the system, and RabbitMQ's epmd, start
# neither now nor at boot.
without_services() { # command
  local policy=/usr/sbin/policy-rc.d ours=0 status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as[@]}" install -m 755 /dev/stdin "$policy"
    ours=1
  fi
  "$@" || status=$?
  ((ours == 0)) || "${as[@]}" rm -f "$policy"
  ((status == 0)) || return "$status"
  local service
  for service in rabbitmq-server krb5-kdc krb5-admin-server; do
    [[ " ${missing[*]} " != *" $service "* ]] || "${as[@]}" update-rc.d "$service" disable
  done
  ! has systemctl > /dev/null || "${as[@]}" systemctl disable --quiet epmd.service epmd.socket
}

# Debian's own cargo is too old, so rustup it is.
cargo_is_there() {
  local manifest wanted found
  manifest=$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$manifest")
  found=$(cargo --version 2> /dev/null | cut -d' ' -f2) || true
  if [[ -z $found || $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
    echo "cargo $wanted or later is missing (found: ${found:-none}); install it with rustup, see https://rustup.rs" >&2
    return 1
  fi
}

case ${1:-} in
  build) build ;;
  check) build; check ;;
  test) build; check; tests ;;
  *) echo "usage: install-deps.sh build|check|test" >&2; exit 2 ;;
esac
install_missing
cargo_is_there
