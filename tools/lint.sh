# ./dev lint: every check of the sources that needs no run of the programs.

LINT_CHECKS=(format structure selftest cppcheck tidy)

# Formatting differs between versions; only the reference one may judge it.
lint_format() {
    local tool
    tool=$(clang_tool clang-format)
    if [ "$tool" != clang-format-14 ]; then
        say "format: skipped, needs clang-format-14"
        return
    fi
    c_files | xargs -r "$tool" --dry-run -Werror
}

lint_structure() {
    python3 tests/lint/structure.py
}

# Shows that each check can fail.
lint_selftest() {
    python3 tests/lint/structure_test.py --quiet &&
        TIDY=$(clang_tool clang-tidy) python3 tests/lint/tools_test.py --quiet
}

# warning: real bugs; portability: sizes and shifts. Unknown macros of libraries are not its matter.
lint_cppcheck() {
    mkdir -p .cache/cppcheck
    c_files | grep '\.c$' | grep -v '^tests/unit/' |
        cppcheck --quiet --error-exitcode=1 --std=c11 --platform=unix64 -j "$(nproc)" \
            --enable=warning,portability --inline-suppr --cppcheck-build-dir=.cache/cppcheck \
            --suppressions-list=tests/lint/cppcheck.txt -D_GNU_SOURCE -D__cppcheck__ -I. \
            --file-list=-
}

# Needs the compile commands and the generated headers, not a build.
lint_tidy() {
    need build
    configure dev
    build_targets dev tt_proto
    c_files | grep '\.c$' | grep -v '^tests/unit/' |
        xargs -r python3 tests/lint/tidy.py "$(clang_tool clang-tidy)" build/dev .cache/tidy
}

# lint_one CHECK: runs it and tells the time.
lint_one() {
    local check=$1 start=$SECONDS
    if "lint_$check"; then
        say "lint $check: passed ($((SECONDS - start)) s)"
    else
        say "lint $check: FAILED ($((SECONDS - start)) s)"
        return 1
    fi
}

dev_lint() {
    local check failed=0
    [ $# -gt 0 ] || set -- "${LINT_CHECKS[@]}"
    for check in "$@"; do
        [[ " ${LINT_CHECKS[*]} " == *" $check "* ]] || usage_error "no such check: $check"
    done
    need lint
    for check in "$@"; do
        lint_one "$check" || failed=1
    done
    return "$failed"
}
