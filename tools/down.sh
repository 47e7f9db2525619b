# ./dev down: stops what ./dev run started and removes its state.

dev_down() {
    source tools/run.sh
    source tools/cluster.sh
    [ -d "$RUN_DIR" ] || die "nothing runs"
    dev_cluster stop --dir "$RUN_DIR"
    as_root rm -rf "$RUN_DIR" # what agents left is root's
}
