# ./dev format: every C source in the one layout.

dev_format() {
    need format
    c_files | grep -v '^tests/lint/fixtures/' | xargs -r "$(clang_tool clang-format)" -i
}
