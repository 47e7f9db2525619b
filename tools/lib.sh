# Helpers of every ./dev command. Sourced, never run.

say() {
    printf '%s\n' "dev: $*" >&2
}

die() {
    say "$*"
    exit 1
}

# What cannot be meant: the exit code of wrong usage.
usage_error() {
    say "$*"
    exit 2
}

# Runs a command as root: directly when we are, else through sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "need root to run: $*"
    fi
}

# root_spawn PIDFILE LOG COMMAND...: starts it as root in a session of its own. The file has its pid
# when this returns.
root_spawn() {
    local pid_file=$1 tries=0
    rm -f "$pid_file"
    # shellcheck disable=SC2016 # expanded by the inner shell
    as_root setsid --fork sh -c 'echo $$ >"$1"; log=$2; shift 2; exec "$@" >>"$log" 2>&1' \
        sh "$@" </dev/null >/dev/null 2>&1
    until [ -s "$pid_file" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 500 ] || die "$3 did not start"
        sleep 0.01
    done
}

# A signal for a process that may belong to root.
signal() {
    kill "-$1" "$2" 2>/dev/null || as_root kill "-$1" "$2" 2>/dev/null
}

# C sources and headers of the project, one a line, without generated ones.
c_files() {
    find . \( -path ./build -o -path './.*' \) -prune -o \
        -type f \( -name '*.c' -o -name '*.h' \) -print | sed 's#^\./##' | sort
}

# The newest installed or preferred version of a clang tool: 14 is the reference (formatting
# differs between versions), later ones serve where it is not packaged.
clang_tool() {
    local name=$1 version
    for version in 14 19 16; do
        if command -v "$name-$version" >/dev/null; then
            printf '%s\n' "$name-$version"
            return
        fi
    done
    die "$name is not installed"
}

# configure PRESET [CMAKE-ARGUMENTS]: quiet unless it fails.
configure() {
    local preset=$1 log
    shift
    log=$(mktemp)
    if ! cmake --preset "$preset" "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "cmake failed for preset $preset"
    fi
    rm -f "$log"
}

# The directory of a preset.
build_dir() {
    case $1 in
    release) echo build ;;
    *) echo "build/$1" ;;
    esac
}

has_target() {
    ninja -C "$1" -t query "$2" >/dev/null 2>&1
}

# build_targets PRESET TARGET...: builds those of the targets that exist.
build_targets() {
    local preset=$1 dir target existing=()
    shift
    dir=$(build_dir "$preset")
    for target in "$@"; do
        if has_target "$dir" "$target"; then
            existing+=("$target")
        fi
    done
    [ ${#existing[@]} -eq 0 ] || ninja -C "$dir" --quiet "${existing[@]}"
}
