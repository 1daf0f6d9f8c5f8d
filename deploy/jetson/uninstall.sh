#!/usr/bin/env bash
# Removes flightsw; state, keys, settings and the user are kept unless --purge is given.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=places.sh
source "$(dirname "${BASH_SOURCE[0]}")/places.sh"

usage() {
    cat <<END
usage: uninstall.sh [--purge] [--root DIR] [--dry-run]

  --purge      also delete state, products, keys, settings and the user flightsw
  --root DIR   remove what install.sh --root DIR installed
  --dry-run    show what would be done without doing it
END
}

purge=
while [ $# -gt 0 ]; do
    case $1 in
    --purge) purge=yes ;;
    --root) use_root "${2-}" && shift ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && fail "unknown option: $1" ;;
    esac
    shift
done
set_places

main() {
    require_administrator
    stop_and_disable
    run rm -f "$units"/flightsw{.service,-clocks.service,-keys.service,.target} "$sysusers" "$tmpfiles"
    [ -n "$root" ] || run systemctl daemon-reload
    remove_environment
    run rm -rf "$cache"
    if [ -n "$purge" ]; then
        run rm -rf "$state" "$configuration"
        remove_user
    else
        say "$state and $configuration are kept; --purge deletes them"
    fi
}

stop_and_disable() {
    local unit
    for unit in flightsw.target flightsw.service flightsw-clocks.service flightsw-keys.service; do
        [ -e "$units/$unit" ] || continue
        [ -n "$root" ] || run systemctl stop "$unit"
        run systemctl ${root:+--root="$root"} disable "$unit"
    done
}

remove_environment() {
    if [ -e "$environment" ] && [ ! -e "$environment/pyvenv.cfg" ]; then
        fail "$environment is not a virtual environment; remove it by hand"
    fi
    run rm -rf "$environment" "$releases" # if the first is a link, only the link
}

remove_user() {
    if [ -z "$root" ] && id flightsw >/dev/null 2>&1; then
        run userdel flightsw
    fi
}

main
