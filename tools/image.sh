# Small images without a registry, from what Debian installs. Sourced, never run.
#
#   image_build OUT           writes OUT, an archive with tutti.local/sys:pause and :busybox
#   image_import SOCKET [ARCHIVE]   imports it where it is missing (built below build/ by default)

image_pause_source() {
    cat <<'C'
/* The first process of every pod: holds its namespaces, reaps what is left behind. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal_number)
{
    (void)signal_number;
    _exit(0);
}
static void reap(int signal_number)
{
    (void)signal_number;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}
int main(void)
{
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = reap;
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        pause();
    }
}
C
}

image_busybox_tree() {
    local tree=$1 applet
    mkdir -p "$tree/bin" "$tree/etc" "$tree/tmp" "$tree/root" "$tree/var"
    chmod 1777 "$tree/tmp"
    cp "$(command -v busybox)" "$tree/bin/busybox"
    for applet in $("$tree/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -sf busybox "$tree/bin/$applet"
    done
    printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/false \
        >"$tree/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
}

image_build() {
    local out=$1 work
    work=$(mktemp -d)
    (
        set -e
        cd "$work"
        image_pause_source >pause.c
        gcc -Os -static -o pause pause.c
        strip pause
        image_busybox_tree busybox
        umoci init --layout oci
        umoci new --image oci:pause
        umoci insert --rootless --image oci:pause pause /pause
        umoci config --image oci:pause --config.entrypoint /pause
        umoci new --image oci:busybox
        umoci insert --rootless --image oci:busybox busybox /
        umoci config --image oci:busybox --config.cmd /bin/sh --config.env PATH=/bin
        tar -C oci -cf images.tar .
    ) >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        rm -rf "$work"
        return 1
    }
    mkdir -p "$(dirname "$out")"
    mv "$work/images.tar" "$out.new"
    mv "$out.new" "$out"
    rm -rf "$work"
}

image_import() {
    local sock=$1 archive=${2:-build/images/sys.tar} have name missing=
    [ -s "$archive" ] || image_build "$archive" || return 1
    have=$(as_root timeout 10 ctr -a "$sock" -n k8s.io images ls -q 2>/dev/null) || return 1
    for name in pause busybox; do
        grep -qx "tutti.local/sys:$name" <<<"$have" || missing=1
    done
    [ -z "$missing" ] || as_root timeout 60 ctr -a "$sock" -n k8s.io images import \
        --base-name tutti.local/sys "$archive" >/dev/null
}
