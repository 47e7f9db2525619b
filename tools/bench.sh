# ./dev bench NAME: one benchmark; results go to build/bench/NAME.json, a table to the terminal.

bench_names() {
    local path
    for path in tests/bench/bench_*.py; do
        path=${path#tests/bench/bench_}
        printf ' %s' "${path%.py}"
    done
}

bench_usage() {
    cat >&2 <<TEXT
usage: ./dev bench NAME [--quick] [OPTIONS]      NAME:$(bench_names)
       ./dev bench NAME --help                   what it measures and its options
TEXT
    exit 2
}

dev_bench() {
    local name=${1:-}
    [ $# -eq 0 ] || shift
    [[ $name =~ ^[a-z]+$ ]] && [ -f "tests/bench/bench_$name.py" ] || bench_usage
    need build run test bench
    source tools/build.sh
    dev_build
    build_targets release bench_load
    mkdir -p build/bench
    exec python3 "tests/bench/bench_$name.py" "$@"
}
