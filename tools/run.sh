# ./dev run: three servers and two agents with the example applied, shown live on a terminal.

RUN_DIR=${TUTTI_RUN_DIR:-${HOME:-~}/.local/state/tutti/run}
RUN_ROLLOUT_S=120

# Name of the server that leads now.
run_leader() {
    build/tuttictl cluster status -o json | sed -n 's/.*"leader": *"\([^"]*\)".*/\1/p'
}

run_next_steps() {
    local leader root=''
    leader=$(run_leader)
    [ "$(id -u)" -eq 0 ] || root='sudo ' # containers and agents run as root
    cat <<TEXT

The example runs. Its pages: curl http://127.0.0.1:8080/ (and 8081, 8082).

  export KUBECONFIG=$RUN_DIR/admin.kubeconfig
  build/tuttictl get pods -o wide          or kubectl get pods -o wide
  build/tuttictl cluster status

Things to try; watch with: build/tuttictl get pods -w
  a container   ${root}kill -9 \$(pgrep -f 'httpd -f -v' | head -n 1)
  an agent      ${root}kill -9 \$(cat $RUN_DIR/n1/pid)       again: $RUN_DIR/n1/run
  the leader    kill -9 \$(cat $RUN_DIR/$leader/pid)       again: $RUN_DIR/$leader/run
                (who leads now: build/tuttictl cluster status; kubectl asks the first
                server only, another with --server https://127.0.0.1:$((BASE_PORT + 2)))

Stop everything: ./dev down
TEXT
}

# The pods, redrawn every second on a terminal, until all replicas are available.
run_view() {
    local deadline=$((SECONDS + RUN_ROLLOUT_S)) ready
    while [ "$SECONDS" -lt "$deadline" ]; do
        ready=$(build/tuttictl get deployment hello \
            -o json 2>/dev/null | sed -n 's/.*"availableReplicas": *\([0-9]*\).*/\1/p' | head -n 1)
        [ ! -t 1 ] || printf '\033[H\033[2J'
        [ ! -t 1 ] || build/tuttictl get pods -o wide
        [ "${ready:-0}" -lt 3 ] || return 0
        sleep 1
    done
    die "the example is not available after $RUN_ROLLOUT_S s: see the logs below $RUN_DIR"
}

# What is left of a run that ended with the machine goes; one that goes on stays.
run_clear() {
    [ -e "$RUN_DIR" ] || return 0
    local pid_file
    for pid_file in "$RUN_DIR"/s[0-9]/pid; do
        [ -e "$RUN_DIR/cluster.json" ] && cluster_runs "$(cat "$pid_file")" &&
            die "it runs already: ./dev down stops it"
    done
    dev_cluster stop --dir "$RUN_DIR" 2>/dev/null
    as_root rm -rf "$RUN_DIR"
}

# Every container is bounded by these two: better told now than by each pod later.
run_controllers() {
    local name
    for name in cpu memory; do
        grep -qsw "$name" /sys/fs/cgroup/cgroup.controllers || [ -e "/sys/fs/cgroup/$name" ] ||
            die "there is no control group controller \"$name\" below /sys/fs/cgroup, so no" \
                "container can start: boot with cgroup_enable=$name, or run this where the host's" \
                "control groups are mounted"
    done
}

dev_run() {
    run_controllers
    need build run
    source tools/cluster.sh
    run_clear
    dev_cluster start --dir "$RUN_DIR" --servers 3 --agents 2
    export KUBECONFIG=$RUN_DIR/admin.kubeconfig
    build/tuttictl apply -f docs/examples/hello/
    run_view
    build/tuttictl get pods -o wide
    run_next_steps
}
