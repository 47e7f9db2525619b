# One containerd per agent, with all its state below one directory. Sourced, never run.
#
#   containerd_start DIR NAME   starts it (or finds it running) and prints the path of its socket
#   containerd_stop DIR NAME    stops it with everything it runs; leaves no shim and no mount
#
# Files: DIR/NAME/{config.toml,root,state,c.sock,containerd.log,containerd.pid}. DIR must be short:
# sockets of shims lie below it and a socket's path is limited to 107 bytes. containerd runs
# as root, through sudo where one is not.

containerd_config() {
    local dir=$1
    cat <<TOML
version = 2
root = "$dir/root"
state = "$dir/state"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "$dir/c.sock"
[ttrpc]
  address = "$dir/t.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "tutti.local/sys:pause"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$dir/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
TOML
}

# The process of this directory's containerd, if it runs.
containerd_pid() {
    local dir=$1 pid
    pid=$(cat "$dir/containerd.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] || return 1
    { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -- "$dir/config.toml" || return 1
    printf '%s\n' "$pid"
}

# ctr DIR SECONDS ARGUMENTS...
containerd_ctr() {
    local dir=$1 limit_s=$2
    shift 2
    as_root timeout "$limit_s" ctr -a "$dir/c.sock" "$@"
}

containerd_answers() {
    containerd_ctr "$1" 5 version >/dev/null 2>&1
}

containerd_start() {
    local dir=$1/$2 i
    mkdir -p "$dir/cni.d" "$dir/certs.d"
    chmod 0711 "$dir"
    if ! containerd_pid "$dir" >/dev/null; then
        rm -f "$dir/c.sock" "$dir/t.sock"
        containerd_config "$dir" >"$dir/config.toml"
        root_spawn "$dir/containerd.pid" "$dir/containerd.log" \
            containerd --config "$dir/config.toml" --log-level warn
    fi
    for ((i = 0; i < 150; i++)); do
        if containerd_answers "$dir"; then
            printf '%s\n' "$dir/c.sock"
            return 0
        fi
        containerd_pid "$dir" >/dev/null || break
        sleep 0.2
    done
    say "containerd does not answer, see $dir/containerd.log:"
    tail -5 "$dir/containerd.log" >&2
    return 1
}

# Ends every task and container that containerd knows, so that no shim outlives it.
containerd_clear() {
    local dir=$1 id
    for id in $(containerd_ctr "$dir" 10 -n k8s.io tasks ls -q 2>/dev/null); do
        containerd_ctr "$dir" 10 -n k8s.io tasks kill -a -s SIGKILL "$id" >/dev/null 2>&1 || true
        containerd_ctr "$dir" 10 -n k8s.io tasks rm -f "$id" >/dev/null 2>&1 || true
    done
    for id in $(containerd_ctr "$dir" 10 -n k8s.io containers ls -q 2>/dev/null); do
        containerd_ctr "$dir" 10 -n k8s.io containers rm "$id" >/dev/null 2>&1 || true
    done
}

# Pids of the shims that serve this containerd: by its socket in their command line.
containerd_shims() {
    local proc
    for proc in /proc/[0-9]*; do
        if { tr '\0' ' ' <"$proc/cmdline"; } 2>/dev/null |
            grep -q "containerd-shim.* $1/c.sock "; then
            printf '%s\n' "${proc#/proc/}"
        fi
    done
}

# A process that has ended may stay a zombie until the system's first process reaps it.
containerd_wait_gone() {
    local pid=$1 i state
    for ((i = 0; i < 200; i++)); do
        state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || return 0
        [ -n "$state" ] && [ "$state" != Z ] || return 0
        sleep 0.05
    done
    return 1
}

containerd_unmount() {
    local dir=$1 mounted
    while read -r mounted; do
        as_root umount -l "$mounted" 2>/dev/null </dev/null || true
    done < <(awk -v dir="$dir/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r)
}

containerd_stop() {
    local dir=$1/$2 pid
    if pid=$(containerd_pid "$dir"); then
        ! containerd_answers "$dir" || containerd_clear "$dir"
        signal TERM "$pid" || true
        containerd_wait_gone "$pid" || signal KILL "$pid" || true
    fi
    for pid in $(containerd_shims "$dir"); do
        # A shim that is left has containers that containerd could not end: its children go first.
        as_root pkill -9 -P "$pid" 2>/dev/null || true
        signal KILL "$pid" || true
    done
    containerd_unmount "$dir"
    rm -f "$dir/containerd.pid" "$dir/c.sock" "$dir/t.sock"
}
