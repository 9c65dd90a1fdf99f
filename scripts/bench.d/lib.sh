# What scripts/bench and its parts share, for bash. Everything measured becomes a line of JSON in $numbers:
# {"metric", "peer", "round", "value", "unit"}, or {"fact", "value"} about the run.
export PATH="$PATH:/usr/sbin:/sbin"
target=${CARGO_TARGET_DIR:-target}
part="scripts/bench${part:+ $part}"
die() { echo "$part: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root, to make its private network namespaces"

# What must be installed.
need() {
    local tool
    for tool in "$@"; do command -v "$tool" >/dev/null || die "needs $tool"; done
}

# On tmpfs, so that no disk is measured: the daemon's state lives in /run as well.
memory=/tmp where="not on tmpfs"
if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ]; then memory=/dev/shm where="on tmpfs"; fi
tmp=$(mktemp -d "$memory/beamroute-bench.XXXXXX")
numbers=$tmp/numbers
export BENCH_CHILD=$tmp/child
pids=() namespaces=()
cleanup() {
    trap '' INT TERM
    # One of them may be stopped.
    [ ${#pids[@]} = 0 ] || { kill "${pids[@]}"; kill -CONT "${pids[@]}"; } 2>/dev/null || true
    wait
    # A server that a tool started, which was ended before it.
    [ ! -s "$BENCH_CHILD" ] || kill -9 "$(<"$BENCH_CHILD")" 2>/dev/null || true
    local ns
    for ns in "${namespaces[@]}"; do ip netns del "$ns"; done
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# For what is measured; cargo wants the user's own home.
at_home() {
    export HOME=$tmp ERL_CRASH_DUMP_BYTES=0 BEAMROUTE_COOKIE
    # Nobody else knows it.
    BEAMROUTE_COOKIE=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    (umask 077 && printf %s "$BEAMROUTE_COOKIE" >"$tmp/.erlang.cookie" && chmod 400 "$tmp/.erlang.cookie")
}

export BENCH_ROUND=0
note() { echo "{\"metric\": \"$1\", \"peer\": \"$2\", \"round\": $BENCH_ROUND, \"value\": $3, \"unit\": \"$4\"}" >>"$numbers"; }
fact() { echo "{\"fact\": \"$1\", \"value\": \"$2\"}" >>"$numbers"; }

# What is measured; `+` if that is not what was committed. The plot is the result of a run.
commit() {
    local dirty=
    git diff --quiet HEAD -- . ':!scripts/bench.d/plot.svg' || dirty=+
    echo "$(git rev-parse --short=12 HEAD)$dirty"
}

# The machine and the run, which no number makes sense without.
facts() {
    fact date "$(date -u '+%Y-%m-%d %H:%M UTC')"
    fact command "$1"
    fact commit "$(commit 2>/dev/null || echo unknown)"
    fact cpu "$(awk -F': ' '/^(model name|Model|Hardware)/ { print $2; exit }' /proc/cpuinfo)"
    fact cores "$(nproc)"
    fact load "$(cut -d' ' -f1 /proc/loadavg)"
    fact kernel "$(uname -sr)"
    fact state "$where"
}

# What a peer had in this round.
noted() { sed -nE "s/.*\"metric\": ?\"$1\", ?\"peer\": ?\"$2\", ?\"round\": ?$BENCH_ROUND,.*\"value\": ?([-0-9.e]+).*/\\1/p" "$numbers" | tail -1; }

# Microseconds that a command takes.
timed() {
    local start=$EPOCHREALTIME
    "$@" >/dev/null
    echo $((${EPOCHREALTIME/./} - ${start/./}))
}

# A private network namespace.
namespace() {
    ip netns add "$1"
    namespaces+=("$1")
    ip -n "$1" link set lo up
}

# Link NAME with ADDRESS and a gateway behind it, in namespace NS.
link() {
    ip -n "$1" link add "$2" type veth peer name "gw-$2"
    ip -n "$1" addr add "$4" dev "gw-$2"
    ip -n "$1" addr add "$3" dev "$2"
    ip -n "$1" link set "gw-$2" up
    ip -n "$1" link set "$2" up
}

# What `ip -batch` needs for failing over as beamroute does: to metric 51 and to 11.
failover_batches() {
    local metric other
    for metric in 51 11; do
        other=$((62 - metric))
        printf '%s\n' "route append 10.0.0.0/24 dev e0 proto 110 scope link src 10.0.0.2 metric $metric" \
            "route append default via 10.0.0.1 dev e0 proto 110 metric $metric" \
            "route del default via 10.0.0.1 dev e0 proto 110 metric $other" \
            "route del 10.0.0.0/24 dev e0 proto 110 scope link metric $other" >"$tmp/failover.$metric"
    done
}
