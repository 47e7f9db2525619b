# ./dev build: the programs, optimised, into build/.

dev_build() {
    need build
    configure release
    build_targets release tuttid tuttictl
    [ -x build/tuttid ] && [ -x build/tuttictl ] || die "the programs were not built"
    say "built build/tuttid and build/tuttictl"
}
