#!/usr/bin/env bash
# Runs real RabbitMQ for tests, from Debian's package: no container, no service, no root, no fixed port.
#
#   rabbit.sh run single|cluster [LINE...]   start, guard until standard input ends, then kill and wipe
#   rabbit.sh ctl DIR NODE ARGS...           rabbitmqctl on a node of the run in DIR: ctl DIR 1 list_queues
#
# LINE is one of rabbitmq.conf, and wins over the kit's own, or `plugins = a,b`; @DIR@ in it is the data folder, and
# @AMQP@ and so on the ports below. `run` writes "certificates DIR" to standard output and waits for a line: by then
# the caller has put them there. Then "ready amqp=HOST:PORT[,...] ... dir=DIR" once clients can connect, or
# "error WHY" and the end. It then takes lines
#   stop N | kill N | start N | pause N | resume N | start all        N: 1, and in a cluster 1 to 3
# and answers each with one line, "ok ..." or "error WHY". A node keeps its ports and data when it comes back.
#
# Environment: OSLOMSG_RABBITMQ_HOME (default the newest /usr/lib/rabbitmq/lib/rabbitmq_server-*), TMPDIR.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
product=RabbitMQ stride=5
# The ports of a node, in their order; that of epmd, where nodes find each other, follows the last node's.
ports=(AMQP TLS DIST PROXY MANAGEMENT)
# shellcheck source=../../testkit/guard.sh
source "$here/../../testkit/guard.sh"

need_rabbit() {
  home=${OSLOMSG_RABBITMQ_HOME:-$(find /usr/lib/rabbitmq/lib -maxdepth 1 -name 'rabbitmq_server-*' 2> /dev/null | sort -V | tail -n 1)}
  [[ -x $home/sbin/rabbitmq-server ]] || die "${home:-RabbitMQ} is missing: apt-get install rabbitmq-server (tools/install-deps.sh test installs all)"
  need erl_call erlang-base
}

# What a node, its tools and epmd find each other by. The first two count for every Erlang started with them.
environment() { # node
  echo "HOME=$dir/home" # where the cookie is
  echo ERL_EPMD_PORT=$((base + 15))
  echo ERL_EPMD_ADDRESS=127.0.0.1
  echo LANG=C.UTF-8
  echo RABBITMQ_CONF_ENV_FILE=/dev/null
  echo "RABBITMQ_NODENAME=r$1@localhost"
}

render() { # node, lines...
  local n=$1 name line key script=() plugins=
  shift
  for name in "${ports[@]}"; do script+=(-e "s|@$name@|$(port "$n" "$name")|g"); done
  {
    cat "$here/rabbitmq.conf.in"
    # The first one makes the cluster, and what all have.
    ((n > 1)) || echo 'load_definitions = @DIR@/definitions.json'
    ((n == 1)) || echo 'cluster_formation.classic_config.nodes.1 = r1@localhost'
    ((${#nodes[@]} == 1)) || cat "$here/cluster.conf.in"
    for line; do
      key=${line%%[ =]*}
      [[ $key = plugins ]] || echo "$line"
    done
  } | sed -e "s|@DIR@|$dir|g" "${script[@]}" |
    awk -F ' *= *' '{ last[$1] = $0; if (!($1 in seen)) order[++count] = $1; seen[$1] } END { for (i = 1; i <= count; i++) print last[order[i]] }' \
      > "$dir/node-$n/rabbitmq.conf"
  for line; do
    [[ ${line%%[ =]*} != plugins ]] || plugins=${line#*=}
  done
  echo "[${plugins// /}]." > "$dir/node-$n/enabled_plugins"
}

launch_epmd() {
  local i
  guarded env ERL_EPMD_ADDRESS=127.0.0.1 epmd -port $((base + 15)) > "$dir/epmd.log" 2>&1 < /dev/null &
  pid[0]=$!
  for ((i = 0; i < 200; i++)); do
    (: < "/dev/tcp/127.0.0.1/$((base + 15))") 2> /dev/null && return
    alive 0 || break
    pause 0.02
  done
  die "epmd does not open its port: $(tail -n 1 "$dir/epmd.log")"
}

launch() { # node
  local n=$1 variables
  mapfile -t variables < <(environment "$n")
  starts=$((starts + 1))
  log[n]=$dir/node-$n/server-$starts.log
  variables+=(
    RABBITMQ_CONFIG_FILE="$dir/node-$n/rabbitmq.conf"
    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/node-$n/enabled_plugins"
    RABBITMQ_MNESIA_BASE="$dir/node-$n/data"
    RABBITMQ_GENERATED_CONFIG_DIR="$dir/node-$n/config"
    RABBITMQ_FEATURE_FLAGS_FILE="$dir/node-$n/feature_flags"
    RABBITMQ_LOG_BASE="$dir/node-$n"
    RABBITMQ_LOGS=- # to standard output
    RABBITMQ_DIST_PORT="$(port "$n" DIST)"
    # A node that does not answer is down after 8 s and not after a minute.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} -kernel net_ticktime 8 -start_epmd false +S 2:2 +sbwt none"
    RUNNING_UNDER_SYSTEMD=true # makes its script become the node, whose id is then known
  )
  guarded env "${variables[@]}" "$home/sbin/rabbitmq-server" > "${log[n]}" 2>&1 < /dev/null &
  pid[n]=$! deadline[n]=$((SECONDS + 55))
}

started() { # node
  grep -qs 'completed with [0-9]* plugins' "${log[$1]}"
}

last_error() { # node
  grep -hiE 'error|BOOT FAILED|exception' "${log[$1]}" | tail -n 1 | cut -c1-300
}

come_up() { # nodes
  local n
  for n; do launch "$n"; done
  for n; do
    await_start "$n" || { tail -n 40 "${log[n]}" >&2; die "$why"; }
  done
}

run() { # kind, lines...
  local kind=$1 n line
  shift
  case $kind in
    single) nodes=(1) ;;
    cluster) nodes=(1 2 3) ;;
    *) die "unknown kind '$kind': single, cluster" ;;
  esac
  need_rabbit
  guard
  echo "certificates $dir/certs"
  IFS= read -r line || exit 0
  [[ -f $dir/certs/server.crt ]] || die "no certificates in $dir/certs"
  mkdir "$dir/home"
  (umask 377 && od -An -tx1 -N16 /dev/urandom | tr -d ' \n' > "$dir/home/.erlang.cookie")
  cp "$here/definitions.json" "$dir/"
  launch_epmd
  for n in "${nodes[@]}"; do
    mkdir "$dir/node-$n"
    render "$n" "$@"
  done
  # Nodes that join one that still starts can wait for each other for ever.
  come_up 1
  ((${#nodes[@]} == 1)) || come_up 2 3
  ready
  serve
}

# NAME=HOST:PORT,... of all nodes.
addresses() { # name
  local n list=()
  for n in "${nodes[@]}"; do list+=("127.0.0.1:$(port "$n" "$1")"); done
  echo "${1,,}=$(IFS=,; echo "${list[*]}")"
}

ready() {
  local n name fields=() pids=() proxied=()
  for n in "${nodes[@]}"; do
    pids+=("${pid[n]}")
    proxied+=("$(port "$n" AMQP):$(port "$n" PROXY)")
  done
  for name in AMQP TLS DIST MANAGEMENT; do fields+=("$(addresses "$name")"); done
  # dir comes last, since it alone may contain a space.
  echo "ready ${fields[*]} proxied=$(IFS=,; echo "${proxied[*]}") pids=$(IFS=,; echo "${pids[*]}") guardian=$$ dir=$dir"
}

ctl() { # node, arguments...
  local variables
  mapfile -t variables < <(environment "$1")
  variables+=(RABBITMQ_CTL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false')
  shift
  # Killed with the process that asked for it.
  exec setpriv --pdeathsig KILL env "${variables[@]}" "$home/sbin/rabbitmqctl" -q "$@"
}

case ${1:-} in
  run)
    (($# >= 2)) || die "run what: single, cluster"
    begin_run "$@"
    shift
    run "$@" ;;
  ctl)
    (($# >= 4)) || die "ctl DIR NODE ARGS..."
    need_rabbit
    dir=$2 base=${2##*/}
    shift 2
    ctl "$@" ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
