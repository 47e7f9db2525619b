# Installs from Debian what a command needs. Sourced, never run.
#
# Happy path on a machine that is set up: one dpkg query, nothing else. Otherwise: on Debian 12 two
# suites are added (backports for libraft, trixie for two libraries and kubectl, which need only
# libc), reusing the address and key of the machine's own apt entry; then update and install.

packages_of() {
    case $1 in
    build)
        echo build-essential cmake ninja-build pkg-config libuv1-dev libssl-dev libnghttp2-dev \
            libllhttp-dev libyyjson-dev libfyaml-dev libzstd-dev libprotobuf-c-dev libmimalloc-dev \
            protobuf-c-compiler 'libraft-dev>=0.22.1' libcmocka-dev python3
        ;;
    format)
        echo "clang-format-$(clang_version)"
        ;;
    lint)
        echo "clang-format-$(clang_version) clang-tidy-$(clang_version) cppcheck python3"
        ;;
    fuzz)
        echo "clang-$(clang_version) libclang-rt-$(clang_version)-dev"
        ;;
    run)
        echo openssl curl containerd runc umoci busybox-static procps
        ;;
    test)
        echo python3 procps openssl strace
        command -v kubectl >/dev/null || echo kubectl
        ;;
    bench)
        echo etcd-server etcd-client
        ;;
    *)
        die "no such package group: $1"
        ;;
    esac
}

debian_codename() {
    local id codename
    id=$(. /etc/os-release && echo "${ID:-}")
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ "$id" = debian ] || codename=other
    echo "$codename"
}

# clang 14 is the reference; Debian 13 no longer has it.
clang_version() {
    if [ "$(debian_codename)" = bookworm ]; then
        echo 14
    else
        echo 19
    fi
}

# Prints those of the given packages ("name" or "name>=version") that are not installed.
missing_packages() {
    local installed spec name version
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\n' 2>/dev/null |
        awk '$2 == "installed" { print $1, $3 }')
    for spec in "$@"; do
        name=${spec%%>=*}
        version=$(awk -v name="$name" '$1 == name { print $2; exit }' <<<"$installed")
        if [ -z "$version" ]; then
            echo "$name"
        elif [ "$name" != "$spec" ] && dpkg --compare-versions "$version" lt "${spec#*>=}"; then
            echo "$name"
        fi
    done
}

# again COMMAND...: once more after a pause, up to five times, where it fails. apt-get waits for
# dpkg's lock but not for that of its lists, and a mirror may be out of reach or changing just then.
again() {
    local pause_s
    for pause_s in 5 10 20 40 60; do
        "$@" && return
        say "that failed: once more in $pause_s s"
        sleep "$pause_s"
    done
    "$@"
}

apt_run() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# "address|file" of the apt entry that Debian's own packages of this release come from.
debian_apt_entry() {
    local codename=$1
    apt-get indextargets --format '$(REPO_URI)|$(SOURCESENTRY)|$(ORIGIN)|$(RELEASE)|$(COMPONENT)' \
        'Created-By: Packages' |
        awk -F'|' -v codename="$codename" \
            '$4 == codename && $5 == "main" && $3 == "Debian" {
                sub(/:[0-9]+$/, "", $2); print $1 "|" $2; exit }'
}

# The Signed-By value of the entry with this address in a deb822 or one-line file; may be empty.
signed_by_of() {
    local file=$1 uri=${2%/}
    case $file in
    *.sources)
        awk -v RS= -v uri="$uri" '
            index($0, uri) && match($0, /(^|\n)[Ss]igned-[Bb]y:[^\n]*(\n[ \t][^\n]*)*/) {
                value = substr($0, RSTART, RLENGTH)
                sub(/^\n?[Ss]igned-[Bb]y:[ \t]*/, "", value)
                print value
                exit
            }' "$file"
        ;;
    *)
        grep -F "$uri" "$file" | grep -v '^ *#' | head -n 1 |
            sed -n 's/.*[[ ]signed-by=\([^] ]*\).*/\1/p'
        ;;
    esac
}

extra_sources() {
    local uri=$1 key=$2
    printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports trixie\nComponents: main\n' "${uri%/}"
    [ -z "$key" ] || printf 'Signed-By: %s\n' "$key"
}

extra_preferences() {
    cat <<'TEXT'
Package: libraft*
Pin: release n=bookworm-backports
Pin-Priority: 990

Package: *
Pin: release n=trixie
Pin-Priority: -1

Package: libyyjson* libllhttp* kubectl
Pin: release n=trixie
Pin-Priority: 500
TEXT
}

# write_root_file PATH < content: writes only what differs.
write_root_file() {
    local path=$1 content
    content=$(cat)
    if [ "$(cat "$path" 2>/dev/null)" != "$content" ]; then
        printf '%s\n' "$content" | as_root tee "$path" >/dev/null
        as_root chmod 0644 "$path"
    fi
}

# Debian 12 lacks three libraries, or has them too old.
add_suites() {
    local entry uri file
    entry=$(debian_apt_entry bookworm)
    if [ -z "$entry" ]; then
        again apt_run update # a fresh image has no lists: without them an entry has no origin
        entry=$(debian_apt_entry bookworm)
    fi
    [ -n "$entry" ] || die "no apt entry for Debian 12's main packages found"
    uri=${entry%%|*}
    file=${entry#*|}
    extra_sources "$uri" "$(signed_by_of "$file" "$uri")" |
        write_root_file /etc/apt/sources.list.d/tutti.sources
    extra_preferences | write_root_file /etc/apt/preferences.d/tutti
}

# Lists of a mirror that has changed since name files that are gone: both or none.
install_packages() {
    apt_run update && apt_run install -y --no-install-recommends "$@"
}

# need GROUP...: makes sure the packages of these groups are installed.
need() {
    local group specs=() missing
    command -v dpkg-query >/dev/null || die "the set-up knows Debian 12 and 13 only"
    for group in "$@"; do
        read -r -a more <<<"$(packages_of "$group" | tr '\n' ' ')"
        specs+=("${more[@]}")
    done
    missing=$(missing_packages "${specs[@]}" | sort -u)
    [ -n "$missing" ] || return 0
    say "installing: $(tr '\n' ' ' <<<"$missing")"
    case $(debian_codename) in
    bookworm) add_suites ;;
    trixie) ;;
    *) die "the set-up knows Debian 12 and 13 only; install these yourself: $missing" ;;
    esac
    # shellcheck disable=SC2086 # one word per package
    again install_packages $missing
}
