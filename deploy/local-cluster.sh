#!/usr/bin/env bash
# A Ray cluster of a head and two worker nodes on this Linux machine, for trying things out.
#
#   deploy/local-cluster.sh up        start it, wait until it answers, and say how to use it
#   deploy/local-cluster.sh status    what is running; exit code 1 if it is not all there
#   deploy/local-cluster.sh down      stop what `up` started, and nothing else
#
# Variables, with their defaults:
#   HYPERDIAG_CLUSTER_DIR=/tmp/hyperdiag-cluster-UID  its files (a short path: there are sockets in it)
#   HYPERDIAG_CLUSTER_NODES=2                         worker nodes
#   HYPERDIAG_CLUSTER_CPUS=1                          cores that each of them offers
#   HYPERDIAG_CLUSTER_PORT=6379                       of the cluster; three ports after it are used too
#   HYPERDIAG_CLUSTER_DASHBOARD_PORT=8265             of dashboard and job server
#   RAY=ray                                           the command
#
# Dashboard and job server listen on loopback. Ray's own servers listen on every interface, whatever
# address they are given, so the cluster asks for a token: the one in ~/.ray/auth_token, which `up`
# makes if there is none. With RAY_AUTH_MODE=token this user's commands send it.
set -euo pipefail

dir=${HYPERDIAG_CLUSTER_DIR:-/tmp/hyperdiag-cluster-$(id -u)}
nodes=${HYPERDIAG_CLUSTER_NODES:-2}
cpus=${HYPERDIAG_CLUSTER_CPUS:-1}
port=${HYPERDIAG_CLUSTER_PORT:-6379}
dashboard=${HYPERDIAG_CLUSTER_DASHBOARD_PORT:-8265}
ray=${RAY:-ray}
# Ray turns 127.0.0.1 into the machine's address on the network; the rest of loopback it leaves alone.
head=127.0.0.2
wait_seconds=120
# A file that tells a folder of this script's from any other: `down` removes the whole of it.
mark=$dir/made-by-local-cluster

complain() {
  printf 'local-cluster: %s\n' "$*" >&2
}

# Whether this script made the folder, for this user.
is_ours() {
  [ -O "$mark" ]
}

# When a process began, in ticks since the machine started; nothing if there is no such process.
began() {
  [ -r "/proc/$1/stat" ] && sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

# The living processes of a node. All that `ray start` starts stays in its session. A number stays
# taken as long as its session has a process; only if the leader lives need it be told from another
# process, of the same number, that came later.
living() {
  local leader since now
  read -r leader since <"$1"
  now=$(began "$leader") || true
  if [ -z "$now" ] || [ "$now" = "$since" ]; then
    ps -o pid= -s "$leader" || true
  fi
}

# start NAME ARGUMENTS...: a node in a session of its own.
start() {
  local name=$1
  shift
  setsid "$ray" start --block --temp-dir="$dir/$name" --disable-usage-stats \
    --object-store-memory=80000000 --min-worker-port=0 --max-worker-port=0 "$@" \
    >"$dir/$name.log" 2>&1 </dev/null &
  local leader=$!
  printf '%s %s\n' "$leader" "$(began "$leader")" >"$dir/$name.node"
}

# Wait until a node has registered. The head may yet end after it has, if another has a port of its.
await() {
  local deadline=$((SECONDS + wait_seconds)) culprit
  until grep -q 'Ray runtime started' "$dir/$1.log"; do
    culprit=
    if [ -z "$(living "$dir/head.node")" ]; then
      culprit="head"
    elif [ -z "$(living "$dir/$1.node")" ] || [ "$SECONDS" -ge "$deadline" ]; then
      culprit=$1
    fi
    if [ -n "$culprit" ]; then
      complain "node $culprit did not start; the end of $dir/$culprit.log:"
      tail -n 20 "$dir/$culprit.log" >&2
      return 1
    fi
    sleep 0.2
  done
}

up() {
  if is_ours; then
    complain "$dir exists: a cluster of yours is up, or was. First: $0 down"
    exit 2
  elif [ -e "$dir" ]; then
    complain "$dir was not made by this script: give another HYPERDIAG_CLUSTER_DIR"
    exit 2
  fi
  if ! command -v "$ray" >/dev/null; then
    complain "no command '$ray': activate the environment of hyperdiag, or set RAY to its path"
    exit 2
  fi
  # A job says `python`, and means the one beside Ray, also where RAY is a path or a link into it.
  PATH=$(dirname "$(realpath "$(command -v "$ray")")"):$PATH
  mkdir -m 700 "$dir"
  touch "$mark"
  export RAY_AUTH_MODE=token
  if [ -z "${RAY_AUTH_TOKEN:-}${RAY_AUTH_TOKEN_PATH:-}" ]; then
    "$ray" get-auth-token --generate >/dev/null
  fi
  trap down EXIT # whatever goes wrong from here on
  start head --head --node-ip-address="$head" --port="$port" --num-cpus=0 \
    --ray-client-server-port=$((port + 1)) --dashboard-agent-listen-port=$((port + 2)) \
    --metrics-export-port=$((port + 3)) --dashboard-host=127.0.0.1 --dashboard-port="$dashboard"
  await head
  local number
  for number in $(seq "$nodes"); do
    start "node$number" --address="$head:$port" --node-ip-address="127.0.0.$((number + 2))" \
      --num-cpus="$cpus" --dashboard-agent-listen-port=0
  done
  for number in $(seq "$nodes"); do
    await "node$number"
  done
  trap - EXIT
  cat <<EOF
A head and $nodes nodes with $cpus CPU each are up. Dashboard: http://127.0.0.1:$dashboard

  export RAY_AUTH_MODE=token
  hyperdiag derive cluster=existing cluster.address=$head:$port
  hyperdiag submit submit.address=http://127.0.0.1:$dashboard
  $0 down
EOF
}

status() {
  if ! is_ours || [ ! -e "$dir/head.node" ]; then
    complain "not up: there is no cluster in $dir"
    return 1
  fi
  local file alive all=0
  for file in "$dir"/*.node; do
    alive=$(living "$file" | wc -l)
    printf '%s: %s processes, log %s\n' "$(basename "$file" .node)" "$alive" "${file%.node}.log"
    [ "$alive" -gt 0 ] || all=1
  done
  return "$all"
}

# Send a signal to the processes of all nodes.
send() {
  local file process
  for file in "$dir"/*.node; do
    [ -e "$file" ] || continue
    for process in $(living "$file"); do
      kill "-$1" "$process" 2>/dev/null || true
    done
  done
}

down() {
  trap - EXIT
  if [ ! -e "$dir" ]; then
    complain "not up: there is no $dir"
    return 0
  elif ! is_ours; then
    complain "$dir is no folder of this script, and is left as it is"
    return 2
  fi
  local file tries leader
  # Each `ray start` ends its own; the nodes before the head, so that none misses it.
  for file in "$dir"/node*.node "$dir"/head.node; do
    [ -e "$file" ] || continue
    read -r leader _ <"$file"
    [ -z "$(living "$file")" ] || kill -TERM "$leader" 2>/dev/null || true
  done
  for tries in $(seq 100); do
    [ -n "$(all_living)" ] || break
    [ "$tries" -lt 50 ] || send KILL
    sleep 0.2
  done
  if [ -n "$(all_living)" ]; then
    complain "some processes do not end: $(all_living | tr '\n' ' ')"
    return 1
  fi
  rm -rf "$dir"
}

# The living processes of all nodes.
all_living() {
  local file
  for file in "$dir"/*.node; do
    [ ! -e "$file" ] || living "$file"
  done
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  status) status ;;
  *)
    complain "usage: $0 up|down|status"
    exit 2
    ;;
esac
