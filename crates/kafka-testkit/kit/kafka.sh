#!/usr/bin/env bash
# Runs real Apache Kafka for tests, from the jars of Maven Central: no container, no root, no fixed port.
#
#   kafka.sh fetch                               get the jars and prepare them (once; `run` does it too)
#   kafka.sh run KIND [K=V...]                   start, guard until standard input ends, then kill and wipe
#   kafka.sh tool NAME ARGS...                   a tool: tool topics --bootstrap-server 127.0.0.1:PORT --list
#
# KIND is single, cluster, secure, or kerberos: as secure, with a realm and two listeners for its members.
# K=V are more broker properties, e.g. broker.session.timeout.ms=9000; @DIR@ in them is the data folder.
# `run` writes lines to standard output: "ready bootstrap=HOST:PORT[,...] ... dir=DIR" once clients can connect
# ("fetching VERSION" before it when the jars are missing), or "error WHY" and the end. A secure run writes
# "certificates DIR" first and waits for a line: by then the caller has put them there. It then takes lines
#   stop N | kill N | start N | pause N | resume N | start all        N: 1, and in a cluster 1 to 3
# and answers each with one line, "ok ..." or "error WHY". A node keeps its ports and data when it comes back.
#
# Environment: OSLOMSG_CACHE (default the user's cache folder, oslo-messaging-rs), OSLOMSG_KAFKA_VERSION (4.x, 3.x
# with KRaft such as 3.9.2, or 2.x with ZooKeeper such as 2.0.1: `run single` and no tools), OSLOMSG_KAFKA_HEAP, OSLOMSG_KAFKA_JVM (for measurements: "-XX:+UseG1GC"), JAVA_HOME, TMPDIR.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
version=${OSLOMSG_KAFKA_VERSION:-$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")}
cache=${OSLOMSG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oslo-messaging-rs}/kafka-jars
home=$cache/$version
# What differs before 4.0: the jars' names, the logging (log4j 1), and where some tools are.
if [[ $version == [23].* ]]; then
  pom=$here/pom-${version%%.*}.xml
  log_config=(-Dlog4j.configuration="file:$here/conf/log4j.properties" -Dkit.level=INFO -Dkit.stream=System.out)
  tool_log_config=(-Dlog4j.configuration="file:$here/conf/log4j.properties" -Dkit.level=WARN -Dkit.stream=System.err)
else
  pom=$here/pom.xml
  log_config=(-Dlog4j2.configurationFile="$here/conf/log4j2.properties")
  tool_log_config=(-Dlog4j2.configurationFile="$here/conf/tools-log4j2.properties")
fi
# The ports of a node, in their order; those after the fourth are of a secure one, which is alone in its block.
ports=(CONTROLLER CLIENT PROXIED PROXY SASL TLS MTLS SASLTLS WRONGHOST EXPIRED TOKEN TOKENTLS KERBEROS KERBEROSTLS KDC)
realm=OSLOMSG.TEST
users=(admin alice bob) # in conf/secure.properties.in, too; the password of U is U-secret
product=Kafka stride=4
# shellcheck source=../../testkit/guard.sh
source "$here/../../testkit/guard.sh"

# ---- jars ----

fetched() {
  [[ -d $home/libs && -f $home/plain.checkpoint && -f $home/secure.checkpoint && -f $home/kafka.jsa ]]
}

# A subshell, so that the lock is free again after it; standard input belongs to the caller's commands.
fetch() (
  if fetched; then return; fi
  need flock util-linux
  mkdir -p "$cache"
  exec 9> "$cache/lock" < /dev/null >&2
  flock -w 900 9 || die "another fetch holds $cache/lock"
  if fetched; then return; fi
  local major temp
  major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  ((${major:-0} >= 17)) || die "Kafka $version needs Java 17 or later, $java is ${major:-unknown}: apt-get install openjdk-17-jre-headless"
  # What a killed fetch left there is of no use.
  temp=$cache/new
  rm -rf "$temp"
  mkdir -p "$temp" "$home"
  if [[ ! -d $home/libs ]]; then
    need mvn maven
    mvn -B -q -f "$pom" -Dkafka.version="$version" dependency:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$temp/libs" || die "maven could not fetch Kafka $version"
    mv -T "$temp/libs" "$home/libs"
  fi
  checkpoint plain "$temp"
  checkpoint secure "$temp"
  if [[ ! -f $home/kafka.jsa ]]; then
    # Kafka 2.x has classes too old for it.
    [[ $version == 2.* ]] || archive_classes "$temp/kafka.jsa" || true
    # An empty file says that this Java makes no archive; the broker then starts without.
    [[ -f $temp/kafka.jsa ]] || : > "$temp/kafka.jsa"
    mv "$temp/kafka.jsa" "$home/kafka.jsa"
  fi
  rm -rf "$temp"
)

# What formatting writes is the same for each run but for meta.properties: made once, it saves every node a JVM.
checkpoint() { # plain|secure, temp folder
  local args=() user mechanism
  [[ ! -f $home/$1.checkpoint ]] || return 0
  if [[ $version == 2.* ]]; then
    : > "$home/$1.checkpoint"
    return
  fi
  if [[ $1 = secure ]]; then
    for user in "${users[@]}"; do
      for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
        args+=(--add-scram "$mechanism=[name=$user,password=$user-secret]")
      done
    done
  fi
  dir=$2 base=19090 nodes=(1)
  mkdir -p "$dir/node-1"
  render 1 "$1"
  (tool storage format --config "$dir/node-1/server.properties" --cluster-id "$(id_of 0)" "${args[@]}" \
    > "$dir/format.log" 2>&1) || { cat "$dir/format.log" >&2; die "formatting failed"; }
  mv "$dir/node-1/data/bootstrap.checkpoint" "$home/$1.checkpoint"
  rm -rf "$dir/node-1"
}

# Loaded classes as an archive (class data sharing): a broker then starts in two thirds of the time.
archive_classes() { # file
  local line guardian from to
  coproc OSLOMSG_KAFKA_JVM="-XX:+UseSerialGC -XX:ArchiveClassesAtExit=$1" "$0" run single
  guardian=$COPROC_PID from=${COPROC[0]} to=${COPROC[1]}
  read -r -u "$from" line
  echo 'stop 1' >&"$to"
  read -r -u "$from" line
  exec {to}>&-
  wait "$guardian"
}

# ---- one run: dir (its folder), base (its first port), nodes, and by node pid, log, deadline ----

id_of() { # node, 0 for the cluster: Kafka's ids are 16 bytes in base64
  echo "$1"000000000000000000000 | cut -c1-21 | sed 's/$/w/'
}

render() { # node, plain|secure, properties...
  local n=$1 kind=$2 i voters=() script=() name
  shift 2
  for i in "${nodes[@]}"; do voters+=("$i@127.0.0.1:$(port "$i" CONTROLLER)"); done
  for name in "${ports[@]}"; do
    script+=(-e "s|@$name@|$(port "$n" "$name")|g")
  done
  {
    cat "$here/conf/$kind.properties.in" "$here/conf/common.properties.in"
    [[ $version != 2.* ]] || printf '%s\n' "broker.id=$n" "zookeeper.connect=127.0.0.1:$((base + 15))"
    printf '%s\n' "$@"
  } | sed -e "s|@DIR@|$dir|g; s|@ID@|$n|g; s|@VOTERS@|$(IFS=,; echo "${voters[*]}")|" \
    -e "s|@REPLICAS@|${#nodes[@]}|; s|@MIN_ISR@|$((${#nodes[@]} / 2 + 1))|" "${script[@]}" \
    > "$dir/node-$n/server.properties"
}

launch() { # node
  local n=$1 jvm
  read -r -a jvm <<< "${OSLOMSG_KAFKA_HEAP:--Xms128m -Xmx512m} ${OSLOMSG_KAFKA_JVM:--XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss512k}"
  [[ ! -s $home/kafka.jsa ]] || jvm+=("-XX:SharedArchiveFile=$home/kafka.jsa")
  [[ ! -d $dir/realm ]] || jvm+=("-Djava.security.krb5.conf=$dir/realm/krb5.conf")
  starts=$((starts + 1))
  log[n]=$dir/node-$n/server-$starts.log
  guarded "$java" "${jvm[@]}" -Djava.net.preferIPv4Stack=true -Dkafka.logs.dir="$dir/node-$n" \
    "${log_config[@]}" "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file:$dir/certs/jwks.json" \
    -cp "$home/libs/*" kafka.Kafka "$dir/node-$n/server.properties" > "${log[n]}" 2>&1 < /dev/null &
  pid[n]=$! deadline[n]=$((SECONDS + 55))
}

# Kafka 2.x keeps its metadata there. It counts as node 0, which nobody can stop but the end of the run.
launch_zookeeper() {
  mkdir -p "$dir/node-0"
  printf '%s\n' "dataDir=$dir/node-0" clientPortAddress=127.0.0.1 "clientPort=$((base + 15))" > "$dir/node-0/zoo.cfg"
  guarded "$java" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${log_config[@]}" -cp "$home/libs/*" \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/node-0/zoo.cfg" \
    > "$dir/node-0/server.log" 2>&1 < /dev/null &
  pid[0]=$!
}

# A Kerberos realm: its database, a key for the broker, and the users' keytabs. Its KDC counts as node 0 as
# ZooKeeper does.
launch_realm() {
  local at=$dir/realm user
  export KRB5_CONFIG=$at/krb5.conf KRB5_KDC_PROFILE=$at/kdc.conf
  mkdir "$at"
  # TCP alone, and no questions to a name server: what fails fails at once, and on loopback.
  cat > "$at/krb5.conf" << END
[libdefaults]
  default_realm = $realm
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  $realm = {
    kdc = 127.0.0.1:$(port 1 KDC)
  }
[domain_realm]
  127.0.0.1 = $realm
  localhost = $realm
END
  cat > "$at/kdc.conf" << END
[kdcdefaults]
  kdc_listen = 127.0.0.1:$(port 1 KDC)
  kdc_tcp_listen = 127.0.0.1:$(port 1 KDC)
[realms]
  $realm = {
    database_name = $at/principal
    key_stash_file = $at/stash
    acl_file = $at/kadm5.acl
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    max_life = 1h
  }
[logging]
  kdc = FILE:$at/kdc.log
END
  {
    kdb5_util -r "$realm" -P of-the-test create -s -W
    kadmin.local -r "$realm" << END
addprinc -randkey kafka/127.0.0.1
ktadd -k $at/kafka.keytab kafka/127.0.0.1
END
    for user in "${users[@]}" carol mallory; do
      printf '%s\n' "addprinc -randkey $user" "ktadd -k $at/$user.keytab $user"
    done | cat - <(printf '%s\n' "cpw -randkey carol" "delprinc -force mallory") | kadmin.local -r "$realm"
  } > "$at/setup.log" 2>&1 < /dev/null || true
  for user in kafka "${users[@]}"; do
    [[ -f $at/$user.keytab ]] || die "no realm: $(tail -n 3 "$at/setup.log")"
  done
  guarded krb5kdc -n -r "$realm" > "$at/kdc.out" 2>&1 < /dev/null &
  pid[0]=$!
  while ! (exec 9<> "/dev/tcp/127.0.0.1/$(port 1 KDC)") 2> /dev/null; do
    alive 0 || die "no realm: $(cat "$at/kdc.out" "$at/kdc.log" 2> /dev/null | tail -n 3)"
    pause 0.02
  done
}

started() { # node
  grep -qsE 'Kafka Server started|KafkaServer id=[0-9]+\] started' "${log[$1]}"
}

last_error() { # node
  grep -hE 'ERROR|FATAL|Exception|Error' "${log[$1]}" | tail -n 1 | cut -c1-300
}

run() { # kind, properties...
  local kind=$1 conf=plain n line
  shift
  case $kind in
    single) nodes=(1) ;;
    *) [[ $version != 2.* ]] || die "Kafka $version runs as single only" ;;&
    cluster) nodes=(1 2 3) ;;
    secure) nodes=(1) conf=secure ;;
    kerberos)
      nodes=(1) conf=secure
      # Where Debian has them, which is not in everybody's PATH.
      PATH=$PATH:/usr/sbin
      need krb5kdc krb5-kdc
      need kadmin.local krb5-admin-server
      mapfile -t -O "$#" kerberos < <(sed 's/#.*//; /^$/d' "$here/conf/kerberos.properties.in")
      set -- "${kerberos[@]}" "$@" ;;
    *) die "unknown kind '$kind': single, cluster, secure, kerberos" ;;
  esac
  need "$java" openjdk-17-jre-headless
  # The run that makes the archive of classes is a part of fetch.
  if ! fetched && [[ ${OSLOMSG_KAFKA_JVM:-} != *ArchiveClassesAtExit* ]]; then
    echo "fetching $version"
    fetch || exit 1
  fi
  guard
  if [[ $conf = secure ]]; then
    echo "certificates $dir/certs"
    IFS= read -r line || exit 0
    [[ -f $dir/certs/server.pem ]] || die "no certificates in $dir/certs"
  fi
  [[ $version != 2.* ]] || launch_zookeeper
  [[ $kind != kerberos ]] || launch_realm
  for n in "${nodes[@]}"; do
    mkdir -p "$dir/node-$n/data"
    render "$n" "$conf" "$@"
    if [[ $version != 2.* ]]; then
      printf '%s\n' version=1 "cluster.id=$(id_of 0)" "node.id=$n" "directory.id=$(id_of "$n")" \
        > "$dir/node-$n/data/meta.properties"
      cp "$home/$conf.checkpoint" "$dir/node-$n/data/bootstrap.checkpoint"
    fi
    launch "$n"
  done
  for n in "${nodes[@]}"; do
    await_start "$n" || { tail -n 40 "${log[n]}" >&2; die "$why"; }
  done
  ready "$kind"
  serve
}

ready() { # kind
  local n clients=() pids=() proxied=() fields=()
  for n in "${nodes[@]}"; do
    clients+=("127.0.0.1:$(port "$n" CLIENT)")
    pids+=("${pid[n]}")
    proxied+=("$(port "$n" PROXIED):$(port "$n" PROXY)")
  done
  if [[ $1 = secure || $1 = kerberos ]]; then
    for n in "${ports[@]:4}"; do fields+=("${n,,}=127.0.0.1:$(port 1 $n)"); done
  else
    fields=("proxied=$(IFS=,; echo "${proxied[*]}")")
  fi
  # dir comes last, since it alone may contain a space.
  echo "ready bootstrap=$(IFS=,; echo "${clients[*]}") ${fields[*]} pids=$(IFS=,; echo "${pids[*]}") guardian=$$ dir=$dir"
}

tool() { # name or class, arguments...
  local class=$1 jvm=()
  shift
  case $class in
    topics) class=org.apache.kafka.tools.TopicCommand ;;
    producer) class=org.apache.kafka.tools.ConsoleProducer ;;
    consumer) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
    groups) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
    acls) class=org.apache.kafka.tools.AclCommand ;;
    configs) class=kafka.admin.ConfigCommand ;;
    offsets) class=org.apache.kafka.tools.GetOffsetShell ;;
    delete-records) class=org.apache.kafka.tools.DeleteRecordsCommand ;;
    producer-perf) class=org.apache.kafka.tools.ProducerPerformance ;;
    consumer-perf) class=org.apache.kafka.tools.ConsumerPerformance ;;
    reassign) class=org.apache.kafka.tools.reassign.ReassignPartitionsCommand ;;
    election) class=org.apache.kafka.tools.LeaderElectionCommand ;;
    features) class=org.apache.kafka.tools.FeatureCommand ;;
    dump-log) class=org.apache.kafka.tools.DumpLogSegments ;;
    storage) class=kafka.tools.StorageTool ;;
    *.*) ;;
    *) die "unknown tool '$class': $(sed -n '/^tool()/,/^}/s/^ *\([a-z-]*\)) class=.*/\1/p' "$0" | paste -sd ' '), or a class" ;;
  esac
  if [[ $version == 3.* ]]; then
    case $class in
      org.apache.kafka.tools.ConsoleProducer) class=kafka.tools.ConsoleProducer ;;
      org.apache.kafka.tools.AclCommand) class=kafka.admin.AclCommand ;;
      org.apache.kafka.tools.DumpLogSegments) class=kafka.tools.DumpLogSegments ;;
    esac
  fi
  [[ ! -s $home/kafka.jsa ]] || jvm=("-XX:SharedArchiveFile=$home/kafka.jsa")
  # Killed with the process that asked for it.
  exec setpriv --pdeathsig KILL "$java" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${jvm[@]}" \
    "${tool_log_config[@]}" -cp "$home/libs/*" "$class" "$@"
}

case ${1:-} in
  fetch)
    need "$java" openjdk-17-jre-headless
    fetch
    echo "$home" ;;
  run)
    (($# >= 2)) || die "run what: single, cluster, secure, kerberos"
    begin_run "$@"
    shift
    run "$@" ;;
  tool)
    (($# >= 2)) || die "which tool"
    need "$java" openjdk-17-jre-headless
    fetch
    shift
    tool "$@" ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
