# Helpers of every ./dev command. Sourced, never run.

say() {
    printf '%s\n' "dev: $*" >&2
}

die() {
    say "$*"
    exit 1
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
