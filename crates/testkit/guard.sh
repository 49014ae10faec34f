# Shell functions for the scripts that run brokers for tests: they source this.
#
# A script sets product (Kafka), ports (the names of a node's ports, in their order), stride (from a node's first
# port to that of the next node) and nodes (1, or 1 2 3), and has the functions
#   launch N      starts a node by `guarded ... &` and sets pid[N], log[N] and deadline[N]
#   started N     whether it serves
#   last_error N  what its log says of its end
# It calls begin_run before anything else, guard, then starts its nodes, says "ready ..." and calls serve. From
# guard it has dir, its folder, and base, its first port, in a block of 16. pid[0] is what the nodes need.
#
# What is written to standard output, and read from standard input, is in crates/testkit/src/guardian.rs.
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the other script

protocol= # standard output of a run

die() {
  # The reader of a run must learn why nothing came up.
  [[ -z $protocol ]] || printf 'error %s\n' "$*" >&"$protocol"
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

need() { # command, Debian package
  command -v "$1" > /dev/null || die "$1 is missing: apt-get install $2 (tools/install-deps.sh test installs all)"
}

# In a session of its own, so that what ends the caller's process group leaves the guardian to do its work.
begin_run() { # the arguments of the script
  local session
  read -r _ _ _ _ _ session _ < /proc/$$/stat
  [[ -t 0 || $session = "$$" ]] || exec setsid --wait "$0" "$@"
  exec {protocol}>&1
}

guard() {
  need setpriv util-linux
  pid=() log=() deadline=() pending=() starts=0 why=
  trap wipe EXIT
  trap 'exit 1' INT TERM HUP
  trap '' PIPE
  reserve
}

port() { # node, name
  local i
  for i in "${!ports[@]}"; do
    [[ ${ports[i]} != "$2" ]] || echo $((base + stride * ($1 - 1) + i))
  done
}

# A run owns a block of 16 ports and the folder named after the first one as long as anybody holds the block's
# lock: the guardian and, by inheritance, its nodes. The ports are below those that the system gives to
# outgoing connections, which could otherwise take the port of a node that is down for a while.
reserve() {
  local root=${TMPDIR:-/tmp}/oslomsg-brokers-$UID low first last block lock used
  mkdir -m 700 "$root" 2> /dev/null || true
  [[ -d $root && -O $root ]] || die "$root belongs to somebody else or is no folder"
  sweep "$root"
  read -r low _ < /proc/sys/net/ipv4/ip_local_port_range
  first=10000 last=$((low > 12000 ? low : 32768))
  used=$(busy_ports)
  for ((block = 0; block < 200; block++)); do
    base=$((first + RANDOM % ((last - first) / 16) * 16))
    exec {lock}>> "$root/$base.lock"
    if flock -n "$lock" && unused "$used"; then
      dir=$root/$base
      rm -rf "$dir"
      mkdir "$dir"
      return
    fi
    exec {lock}>&-
  done
  die "no free block of ports from $first to $last"
}

# Folders whose guardian was killed before it could wipe them.
sweep() { # root
  local stale
  for stale in "$1"/*/; do
    [[ -d $stale ]] || continue
    (flock -n 9 && rm -rf "$stale") 9>> "${stale%/}.lock" || true
  done
}

busy_ports() { # in lines, hexadecimal as the kernel writes them
  cat /proc/net/tcp /proc/net/tcp6 2> /dev/null | sed -n 's/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]\{4\}\) .*/\1/p'
}

unused() { # busy ports
  local i
  for ((i = 0; i < 16; i++)); do
    [[ $1 != *"$(printf %04X $((base + i)))"* ]] || return 1
  done
}

# To be started in the background. The kernel kills it when the guardian dies; sh looks whether that was before
# setpriv asked for it.
guarded() { # command
  # shellcheck disable=SC2016 # for sh to expand
  exec setpriv --pdeathsig KILL sh -c '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"' sh "$$" "$@"
}

alive() { # node
  [[ -n ${pid[$1]:-} ]] && kill -0 "${pid[$1]}" 2> /dev/null
}

# Waits, and listens meanwhile: the end of the caller must end a wait, too.
pause() { # seconds
  local line status=0
  IFS= read -r -t "$1" line || status=$?
  if ((status == 0)); then
    pending+=("$line")
  elif ((status <= 128)); then
    exit 0
  fi
}

# The functions below leave in `why` the reason of a failure.

await_start() { # node
  until started "$1"; do
    alive "$1" || { why="node $1 ended while starting: $(last_error "$1")"; return 1; }
    ((SECONDS < deadline[$1])) || { why="node $1 did not start in 55 s: $(last_error "$1")"; return 1; }
    pause 0.05
  done
}

await_end() { # node, seconds
  local last=$((SECONDS + $2))
  while alive "$1"; do
    ((SECONDS < last)) || return 1
    pause 0.05
  done
  # Collected, so that the shell does not report it later.
  wait "${pid[$1]}" 2> /dev/null || true
  pid[$1]=
}

await_pause() { # node: SIGSTOP takes effect some time after kill returned
  local state
  for ((;;)); do
    state=$(sed 's/.*) //' "/proc/${pid[$1]}/stat" 2> /dev/null) || { why="node $1 ended"; return 1; }
    [[ $state != T* ]] || return 0
    pause 0.01
  done
}

obey() { # command, node
  local n=$2
  if [[ "$1 $n" = "start all" ]]; then
    start_all
    return
  fi
  [[ $n =~ ^[1-9]$ && $n -le ${#nodes[@]} ]] || { why="no node '$n': nodes are ${nodes[*]}"; return 1; }
  case $1 in
    start)
      ! alive "$n" || { why="node $n runs already"; return 1; }
      launch "$n"
      await_start "$n" || return 1
      echo "ok start $n pid=${pid[n]}"
      return ;;
    stop | kill | pause | resume) ;;
    *) why="unknown command '$1': start, stop, kill, pause, resume"; return 1 ;;
  esac
  alive "$n" || { why="node $n does not run"; return 1; }
  case $1 in
    stop)
      kill -CONT "${pid[n]}"
      kill -TERM "${pid[n]}"
      # A broker that finds no quorum any more waits for it: the caller asked for the node to be down.
      await_end "$n" 20 || { kill -KILL "${pid[n]}"; await_end "$n" 10; } ;;
    kill) kill -KILL "${pid[n]}"; await_end "$n" 10 ;;
    pause) kill -STOP "${pid[n]}"; await_pause "$n" ;;
    resume) kill -CONT "${pid[n]}" ;;
  esac || { why=${why:-node $n does not end}; return 1; }
  echo "ok $1 $n"
}

# All that are down, at once: a node alone finds no quorum and does not come up.
start_all() {
  local n down=()
  for n in "${nodes[@]}"; do alive "$n" || down+=("$n"); done
  for n in "${down[@]}"; do launch "$n"; done
  for n in "${down[@]}"; do await_start "$n" || return 1; done
  echo "ok start all pids=$(IFS=,; echo "${pid[*]}")"
}

wipe() {
  trap - EXIT
  trap '' INT TERM HUP
  local n
  for n in "${!pid[@]}"; do alive "$n" && kill -KILL "${pid[n]}"; done
  wait 2> /dev/null
  [[ -z ${dir:-} ]] || rm -rf "$dir"
}

serve() {
  local line words
  # A test's standard error may be a pipe that its runner reads to the end: it must not wait for this process.
  exec 2> "$dir/guardian.log"
  while true; do
    if ((${#pending[@]})); then
      line=${pending[0]} pending=("${pending[@]:1}")
    else
      IFS= read -r line || exit 0
    fi
    read -r -a words <<< "$line"
    why=
    obey "${words[0]:-}" "${words[1]:-}" || echo "error $why"
  done
}
