# ./dev cluster: a local cluster below one directory, without examples.
#
#   DIR/cluster.json       names, ids, pids, addresses, logs
#   DIR/admin.kubeconfig   for kubectl and tuttictl; also ca.crt, admin.crt, admin.key
#   DIR/<name>/run         starts that process again in the foreground, with its data
#   DIR/<name>/pid, log    written by run
# Ports: API base+1…, peers base+101…, agents base+201….

CLUSTER_READY_S=30

cluster_usage() {
    cat >&2 <<'TEXT'
usage: ./dev cluster start --dir DIR --servers N --agents M [--base-port P]
       ./dev cluster stop --dir DIR
TEXT
    exit 2
}

# Sets DIR, SERVERS, AGENTS, BASE_PORT from the arguments.
cluster_options() {
    DIR='' SERVERS=3 AGENTS=0 BASE_PORT=16440
    while [ $# -gt 0 ]; do
        [ $# -ge 2 ] || cluster_usage
        case $1 in
        --dir) DIR=$2 ;;
        --servers) SERVERS=$2 ;;
        --agents) AGENTS=$2 ;;
        --base-port) BASE_PORT=$2 ;;
        *) cluster_usage ;;
        esac
        shift 2
    done
    [ -n "$DIR" ] || cluster_usage
    local number
    for number in "$SERVERS" "$AGENTS" "$BASE_PORT"; do
        [[ $number =~ ^(0|[1-9][0-9]{0,4})$ ]] || usage_error "'$number' is not a whole number"
    done
    [ "$SERVERS" -ge 1 ] && [ "$SERVERS" -le 9 ] || usage_error "--servers: 1 to 9"
    [ "$AGENTS" -le 9 ] || usage_error "--agents: at most 9"
    [ "$BASE_PORT" -ge 1024 ] && [ "$BASE_PORT" -le 65000 ] ||
        usage_error "--base-port: 1024 to 65000"
}

cluster_pki() {
    local pki=$DIR/pki i
    build/tuttictl pki init --dir "$pki" --cluster tutti-local >/dev/null
    for ((i = 1; i <= SERVERS; i++)); do
        build/tuttictl pki issue --dir "$pki" server "s$i" --hours 8760 >/dev/null
    done
    for ((i = 1; i <= AGENTS; i++)); do
        build/tuttictl pki issue --dir "$pki" agent "n$i" --hours 8760 >/dev/null
    done
    build/tuttictl pki issue --dir "$pki" --out "$DIR" user admin --groups tutti:admins >/dev/null
    cp "$pki/ca.crt" "$DIR/ca.crt"
}

cluster_kubeconfig() {
    local path=$DIR/admin.kubeconfig i
    (
        umask 077
        cat >"$path" <<TEXT
apiVersion: v1
kind: Config
clusters:
- name: tutti-local
  cluster:
    server: https://127.0.0.1:$((BASE_PORT + 1))
    certificate-authority: $DIR/ca.crt
    extensions:
    - name: tutti
      extension:
        servers:
$(for ((i = 1; i <= SERVERS; i++)); do echo "        - https://127.0.0.1:$((BASE_PORT + i))"; done)
users:
- name: admin
  user:
    client-certificate: $DIR/admin.crt
    client-key: $DIR/admin.key
contexts:
- name: admin@tutti-local
  context:
    cluster: tutti-local
    user: admin
current-context: admin@tutti-local
TEXT
    )
}

# cluster_program NAME COMMAND...: DIR/NAME/run, which leaves its own pid and becomes the process;
# an agent becomes root first.
cluster_program() {
    local name=$1 word
    shift
    mkdir -p "$DIR/$name"
    {
        echo '#!/bin/sh'
        # shellcheck disable=SC2016 # expanded by the script
        [[ $name != n* ]] || echo '[ "$(id -u)" -eq 0 ] || exec sudo "$0"'
        printf 'echo $$ >%q\n' "$DIR/$name/pid"
        printf 'exec'
        for word in "$@"; do printf ' %q' "$word"; done
        printf '\n'
    } >"$DIR/$name/run"
    chmod 755 "$DIR/$name/run"
}

cluster_write_servers() {
    local i list='' pki=$DIR/pki
    for ((i = 1; i <= SERVERS; i++)); do
        list+="${list:+,}s$i=127.0.0.1:$((BASE_PORT + 100 + i))"
    done
    for ((i = 1; i <= SERVERS; i++)); do
        cluster_program "s$i" "$TT_ROOT/build/tuttid" server --name "s$i" \
            --data-dir "$DIR/s$i/data" --api-listen "127.0.0.1:$((BASE_PORT + i))" \
            --peer-listen "127.0.0.1:$((BASE_PORT + 100 + i))" --cert "$pki/s$i.crt" \
            --key "$pki/s$i.key" --ca "$pki/ca.crt" --ca-key "$pki/ca.key" \
            --seal-key "$pki/seal.key" --bootstrap "$list"
    done
}

cluster_server_urls() {
    local i urls=''
    for ((i = 1; i <= SERVERS; i++)); do
        urls+="${urls:+,}https://127.0.0.1:$((BASE_PORT + i))"
    done
    echo "$urls"
}

# One containerd per node; the agents themselves use the host's network.
cluster_write_agents() {
    local i socket
    [ "$AGENTS" -gt 0 ] || return 0
    source tools/containerd.sh
    source tools/image.sh
    for ((i = 1; i <= AGENTS; i++)); do
        mkdir -p "$DIR/n$i"
        socket=$(containerd_start "$DIR/n$i/containerd" "n$i")
        image_import "$socket"
        cluster_program "n$i" "$TT_ROOT/build/tuttid" agent --name "n$i" \
            --server "$(cluster_server_urls)" --cert "$DIR/pki/n$i.crt" \
            --key "$DIR/pki/n$i.key" --ca "$DIR/pki/ca.crt" --data-dir "$DIR/n$i/data" \
            --runtime-endpoint "$socket" --listen "127.0.0.1:$((BASE_PORT + 200 + i))"
    done
}

# cluster_spawn NAME: runs it in a session of its own, so that it outlives this command.
cluster_spawn() {
    local tries=0 starter=()
    rm -f "$DIR/$1/pid"
    [[ $1 != n* ]] || starter=(as_root)
    "${starter[@]}" setsid --fork "$DIR/$1/run" >>"$DIR/$1/log" 2>&1 </dev/null
    until [ -s "$DIR/$1/pid" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || die "$1 did not start: see $DIR/$1/log"
        sleep 0.01
    done
}

cluster_curl() {
    curl -fsS --max-time 2 --cacert "$DIR/ca.crt" --cert "$DIR/admin.crt" --key "$DIR/admin.key" \
        "$@"
}

cluster_wait_ready() {
    local i deadline=$((SECONDS + CLUSTER_READY_S))
    for ((i = 1; i <= SERVERS; i++)); do
        until cluster_curl "https://127.0.0.1:$((BASE_PORT + i))/api/v1/namespaces/default" \
            >/dev/null 2>&1; do
            cluster_runs "$(cat "$DIR/s$i/pid")" || die "s$i has ended: see $DIR/s$i/log"
            [ "$SECONDS" -lt "$deadline" ] || die "s$i is not ready: see $DIR/s$i/log"
            sleep 0.02
        done
    done
}

# Agents that are not known yet get no pods: a first Deployment would crowd on the quickest one.
cluster_wait_nodes() {
    local i
    for ((i = 1; i <= AGENTS; i++)); do
        build/tuttictl wait "node/n$i" --for=create --kubeconfig "$DIR/admin.kubeconfig" \
            --timeout "${CLUSTER_READY_S}s" >/dev/null &&
            build/tuttictl wait "node/n$i" --for=condition=Ready \
                --kubeconfig "$DIR/admin.kubeconfig" --timeout "${CLUSTER_READY_S}s" >/dev/null ||
            die "node n$i is not ready: see $DIR/n$i/log"
    done
}

cluster_json() {
    local i
    {
        printf '{"servers": ['
        for ((i = 1; i <= SERVERS; i++)); do
            [ "$i" -eq 1 ] || printf ', '
            printf '{"name": "s%d", "id": %d, "pid": %d, "api": "127.0.0.1:%d", ' "$i" "$i" \
                "$(cat "$DIR/s$i/pid")" $((BASE_PORT + i))
            printf '"peer": "127.0.0.1:%d", "data_dir": "%s", "log": "%s"}' \
                $((BASE_PORT + 100 + i)) "$DIR/s$i/data" "$DIR/s$i/log"
        done
        printf '], "agents": ['
        for ((i = 1; i <= AGENTS; i++)); do
            [ "$i" -eq 1 ] || printf ', '
            printf '{"name": "n%d", "pid": %d, "log": "%s"}' "$i" "$(cat "$DIR/n$i/pid")" \
                "$DIR/n$i/log"
        done
        printf ']}\n'
    } >"$DIR/cluster.json.tmp"
    mv "$DIR/cluster.json.tmp" "$DIR/cluster.json"
}

cluster_start() {
    cluster_options "$@"
    mkdir -p "$DIR"
    DIR=$(cd "$DIR" && pwd)
    [ ! -e "$DIR/cluster.json" ] ||
        die "$DIR holds a cluster already: ./dev cluster stop --dir $DIR"
    [ ! -e "$DIR/pki" ] ||
        die "$DIR holds a stopped cluster: start its programs, $DIR/*/run, or remove it"
    need build run
    source tools/build.sh
    dev_build
    cluster_pki
    cluster_kubeconfig
    cluster_write_servers
    cluster_write_agents
    local i
    for ((i = 1; i <= SERVERS; i++)); do cluster_spawn "s$i"; done
    cluster_wait_ready
    for ((i = 1; i <= AGENTS; i++)); do cluster_spawn "n$i"; done
    cluster_wait_nodes
    cluster_json
    say "cluster of $SERVERS servers and $AGENTS agents runs; KUBECONFIG=$DIR/admin.kubeconfig"
}

# A process that has ended may stay a zombie until the system's first process reaps it.
cluster_runs() {
    local state
    state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
    [ -n "$state" ] && [ "$state" != Z ]
}

# Ends the process in DIR/NAME/pid if it is still the one that run started there.
cluster_end() {
    local name=$1 pid tries=0
    pid=$(cat "$DIR/$name/pid" 2>/dev/null) || return 0
    { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qx -- "$name" || return 0
    signal TERM "$pid" || return 0
    while cluster_runs "$pid"; do
        tries=$((tries + 1))
        [ "$tries" -ne 500 ] || signal KILL "$pid" || true
        [ "$tries" -lt 700 ] || die "$name ($pid) cannot be stopped"
        sleep 0.02
    done
}

cluster_stop() {
    cluster_options "$@"
    [ -d "$DIR" ] || die "$DIR does not exist"
    DIR=$(cd "$DIR" && pwd)
    local path name
    source tools/containerd.sh
    # Agents first: what they run is stopped with their containerd.
    for path in "$DIR"/n[0-9]/pid; do
        [ -e "$path" ] || continue
        name=$(basename "$(dirname "$path")")
        cluster_end "$name"
    done
    for path in "$DIR"/n[0-9]/containerd; do
        [ -e "$path" ] || continue
        containerd_stop "$path" "$(basename "$(dirname "$path")")"
    done
    # Secrets of pods lie in file systems of their own, which outlive their agent.
    containerd_unmount "$DIR"
    for path in "$DIR"/s[0-9]/pid; do
        [ -e "$path" ] || continue
        cluster_end "$(basename "$(dirname "$path")")"
    done
    rm -f "$DIR/cluster.json"
    say "stopped what ran in $DIR"
}

dev_cluster() {
    local command=${1:-}
    [ $# -eq 0 ] || shift
    case $command in
    start) cluster_start "$@" ;;
    stop) cluster_stop "$@" ;;
    *) cluster_usage ;;
    esac
}
