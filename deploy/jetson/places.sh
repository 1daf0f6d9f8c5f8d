# shellcheck shell=bash disable=SC2034 # the scripts that source this use its variables
# Paths of an installation, and functions that the scripts share.

# Modules of the person who installs are not the release's.
unset PYTHONPATH PYTHONHOME
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lock=$checkout/deploy/jetson/requirements.txt
root=
dry_run=

set_places() { # below $root, which is empty for the running system
    environment=$root/opt/flightsw
    releases=$root/opt/flightsw-releases
    configuration=$root/etc/flightsw
    state=$root/var/lib/flightsw
    cache=$root/var/cache/flightsw
    units=$root/etc/systemd/system
    sysusers=$root/etc/sysusers.d/flightsw.conf
    tmpfiles=$root/etc/tmpfiles.d/flightsw.conf
}

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

say() {
    echo "$(basename "$0"): $*"
}

run() { # run a command that changes the system; a dry run only prints it
    if [ -n "$dry_run" ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

use_root() { # option --root
    [ -n "$1" ] || fail "--root needs a folder"
    root=$(realpath -m -- "$1")
    [ "$root" != / ] || root=
}

require_administrator() {
    [ -n "$root" ] || [ -n "$dry_run" ] || [ "$(id -u)" = 0 ] ||
        fail "must be run as root to change the system; run: sudo $0"
}
