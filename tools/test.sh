# ./dev test: all stages, each with its budget on two cores, and one line of sums at the end.
#
# A stage runs in a shell of its own under a limit of three times its budget, which ends what hangs
# and leaves a slow or busy machine its time. It appends a line "passed failed skipped" per group of
# tests to the tally; a stage without tests counts nothing.

TEST_STAGES=(lint builds unit simulator integration)

stage_budget_min() {
    case $1 in
    lint) echo 4 ;;
    builds) echo 6 ;;
    unit) echo 2 ;;
    simulator) echo 8 ;;
    integration) echo 8 ;;
    *) usage_error "no such stage: $1" ;;
    esac
}

tally() {
    printf '%s %s %s\n' "$1" "$2" "$3" >>"$TT_TALLY"
}

# tally_run NAME COMMAND...: counts a command as one test.
tally_run() {
    local name=$1
    shift
    if "$@"; then
        tally 1 0 0
    else
        say "$name: FAILED"
        tally 0 1 0
        return 1
    fi
}

# ctest_label PRESET LABELS [JOBS]: runs the tests with these labels, one after the other where they
# ask, otherwise as many at a time as there are cores or as told.
ctest_label() {
    local dir report status=0 fixed=() jobs
    jobs=${3:-$(nproc)}
    dir=$(build_dir "$1")
    # ThreadSanitizer cannot start where the kernel randomises addresses widely.
    if [ "$1" = tsan ] && setarch -R true 2>/dev/null; then
        fixed=(setarch -R)
    fi
    [ -f "$dir/CTestTestfile.cmake" ] || return 0
    report=$(mktemp)
    "${fixed[@]}" ctest --test-dir "$dir" -L "$2" -j "$jobs" --no-tests=ignore \
        --output-on-failure --output-junit "$report" || status=1
    python3 tests/support/tally.py "$report" >>"$TT_TALLY" || status=1
    rm -f "$report"
    return "$status"
}

stage_lint() {
    source tools/lint.sh
    need lint
    local check status=0
    for check in "${LINT_CHECKS[@]}"; do
        tally_run "lint $check" lint_one "$check" || status=1
    done
    return "$status"
}

# build_preset PRESET all or TARGET...: no more of each preset than the tests need.
build_preset() {
    local preset=$1 start=$SECONDS arguments=()
    shift
    [ "$preset" != fuzz ] || arguments=("-DCMAKE_C_COMPILER=$(clang_tool clang)")
    configure "$preset" "${arguments[@]}" || return 1
    if [ "$1" = all ]; then
        ninja -C "$(build_dir "$preset")" --quiet || return 1
    else
        build_targets "$preset" "$@" || return 1
    fi
    touch "$(build_dir "$preset")/tests.built"
    say "build $preset: $((SECONDS - start)) s"
}

stage_builds() {
    local status=0
    need build fuzz
    tally_run "build release" build_preset release tuttid tuttictl sim_tests || status=1
    tally_run "build dev" build_preset dev all || status=1
    tally_run "build asan" build_preset asan unit_tests sanitizer_tests || status=1
    tally_run "build tsan" build_preset tsan unit_tests sanitizer_tests || status=1
    if [ -d tests/fuzz ]; then
        tally_run "build fuzz" build_preset fuzz fuzzers || status=1
    fi
    return "$status"
}

# Half of the time of most unit tests is waiting, for limits of time and for peers: twice as many at
# a time as there are cores keep the cores busy.
stage_unit() {
    local preset jobs status=0
    jobs=$((2 * $(nproc)))
    ctest_label dev '^unit$' "$jobs" || status=1
    for preset in asan tsan; do
        ctest_label "$preset" '^(unit|sanitizer)$' "$jobs" || status=1
    done
    return "$status"
}

stage_simulator() {
    local status=0
    ctest_label release '^sim$' || status=1
    ctest_label fuzz '^fuzz$' || status=1
    return "$status"
}

stage_integration() {
    need run test
    ctest_label dev '^integration$'
}

# The presets whose tests or programs a stage runs.
stage_presets() {
    case $1 in
    unit) echo dev asan tsan ;;
    simulator) echo release fuzz ;;
    integration) echo dev release ;;
    esac
}

# lacks_build STAGE...: whether one of them would find nothing to run, as in a fresh clone, where
# "0 failed" would say nothing. What was built once is run as it is.
lacks_build() {
    local stage preset
    for stage in "$@"; do
        [ "$stage" != builds ] || return 1
        for preset in $(stage_presets "$stage"); do
            [ -f "$(build_dir "$preset")/tests.built" ] || return 0
        done
    done
    return 1
}

# run_stage NAME: in a process of its own, so that the limit ends it with all it started.
run_stage() {
    local stage=$1 start=$SECONDS budget_s status=0
    budget_s=$(($(stage_budget_min "$stage") * 60))
    say "stage $stage"
    timeout --kill-after=20 $((3 * budget_s)) "$TT_ROOT/tools/stage.sh" "$stage" &
    local limiter=$!
    # timeout leads a process group of its own, which an interrupt from the terminal does not reach.
    trap 'kill -TERM "$limiter"; exit 130' INT TERM
    wait "$limiter" || status=$?
    trap - INT TERM
    if [ "$status" -ge 124 ]; then
        say "stage $stage: stopped at $((3 * budget_s)) s"
        tally 0 1 0
    fi
    local spent=$((SECONDS - start)) note=""
    [ "$spent" -le "$budget_s" ] || note=", over its budget of $budget_s s"
    say "stage $stage: $([ "$status" -eq 0 ] && echo passed || echo FAILED) in $spent s$note"
    return "$status"
}

# A stage that broke without counting anything is one failure.
finish_tests() {
    local status=$1
    awk -v status="$status" '
        { passed += $1; failed += $2; skipped += $3 }
        END {
            if (status && !failed) failed = 1
            printf "%d passed, %d failed (%d skipped)\n", passed, failed, skipped
            exit failed > 0
        }' "$TT_TALLY"
}

dev_test() {
    local stage status=0 start=$SECONDS
    [ $# -gt 0 ] || set -- "${TEST_STAGES[@]}"
    for stage in "$@"; do
        stage_budget_min "$stage" >/dev/null
    done
    if lacks_build "$@"; then
        say "not built yet: the stage builds comes first"
        set -- builds "$@"
    fi
    need build lint test
    TT_TALLY=$(mktemp)
    export TT_TALLY
    for stage in "$@"; do
        run_stage "$stage" || status=1
    done
    say "all stages: $((SECONDS - start)) s"
    finish_tests "$status" || status=1
    rm -f "$TT_TALLY"
    return "$status"
}
