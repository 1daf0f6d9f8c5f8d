#!/usr/bin/env bash
# Installs or updates flightsw on a Jetson; safe to run again at any time.
set -euo pipefail
umask 022
scripts=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=places.sh
source "$scripts/places.sh"
# shellcheck source-path=SCRIPTDIR source=wheel.sh
source "$scripts/wheel.sh"
# shellcheck source-path=SCRIPTDIR source=releases.sh
source "$scripts/releases.sh"

usage() {
    cat <<USAGE
usage: install.sh [--unit NAME] [--torch WHEEL | --without-torch] [--add WHEEL]... [--without NAME]...
                  [--wheelhouse DIR] [--python PYTHON] [--keep-environment] [--root DIR] [--dry-run]
       install.sh --rollback [--root DIR] [--dry-run]

  --unit NAME           name of this flight unit, for the settings: 1 to 20 of A-Z a-z 0-9 _ -
  --torch WHEEL         also install this build of torch: a wheel or a requirement, for the Jetson
  --add WHEEL           also install this wheel or requirement, such as the card's runtime
  --without NAME        the new release may lack this distribution, which the active one has;
                        --without-torch is short for --without torch
  --wheelhouse DIR      install from this folder, which wheelhouse.sh made, without a network
  --python PYTHON       the Python of the virtual environment (default: python3)
  --keep-environment    do not change /opt/flightsw
  --root DIR            install below DIR, an image, without touching the running system
  --rollback            activate the previous release, and restart the service
  --dry-run             show what would be done without doing it
USAGE
}

added=()
left_out=()
wheelhouse=
python=python3
keep_environment=
rollback=
unit=
while [ $# -gt 0 ]; do
    case $1 in
    --unit) unit=${2:?--unit needs a name} && shift ;;
    --torch) added+=("${2:?--torch needs a wheel}") && shift ;;
    --without-torch) left_out+=(torch) ;;
    --add) added+=("${2:?--add needs a wheel}") && shift ;;
    --without) left_out+=("${2:?--without needs a name}") && shift ;;
    --wheelhouse) wheelhouse=$(realpath -e -- "${2:?--wheelhouse needs a folder}") && shift ;;
    --python) python=${2:?--python needs a command} && shift ;;
    --keep-environment) keep_environment=yes ;;
    --root) use_root "${2-}" && shift ;;
    --rollback) rollback=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && fail "unknown option: $1" ;;
    esac
    shift
done
set_places

main() {
    require_administrator
    if [ -n "$rollback" ]; then
        roll_back
    else
        install_all
    fi
}

install_all() {
    require_unit
    [ -n "$dry_run" ] || require_systemd
    [ -z "$wheelhouse" ] || verify_wheelhouse
    [ -n "$root" ] || install_debian_packages
    [ -n "$keep_environment" ] || install_environment
    install_units "$checkout/systemd"
    install_settings
    if [ -z "$root" ]; then
        run systemd-sysusers "$sysusers"
        run systemd-tmpfiles --create "$tmpfiles"
        run systemctl daemon-reload
    fi
    enable_units
    if [ -z "$root" ]; then
        # An image makes them at its first start, so that no two units share keys.
        run systemctl start flightsw-keys.service
        restart_services
    fi
    say "done. Next: authorise a ground station's key, then run systemctl start flightsw.target"
}

roll_back() {
    local name
    name=$(previous_release)
    activate "$name"
    if [ -d "$releases/$name/systemd" ]; then
        install_units "$releases/$name/systemd"
    fi
    if [ -z "$root" ]; then
        run systemctl daemon-reload
        restart_services
    fi
    say "$name is the active release"
}

require_unit() {
    if [ -n "$unit" ]; then
        [[ $unit =~ ^[A-Za-z0-9][A-Za-z0-9_-]{0,19}$ ]] ||
            fail "$unit is not a name of a unit; use 1 to 20 of A-Z a-z 0-9 _ -"
    elif [ -z "$root" ] && ! grep -qs '^unit *=' "$configuration/flightsw.toml"; then
        fail "this unit has no name; give --unit NAME, which each telecommand and product will bear"
    fi
}

require_systemd() {
    local command needed=(systemctl)
    [ -n "$root" ] || needed+=(systemd-sysusers systemd-tmpfiles)
    for command in "${needed[@]}"; do
        command -v "$command" >/dev/null ||
            fail "this machine has no $command; install systemd, which runs the service"
    done
}

verify_wheelhouse() {
    (cd "$wheelhouse" && sha256sum --check --quiet --strict SHA256SUMS) ||
        fail "$wheelhouse is not what wheelhouse.sh made; transfer it again"
    say "SHA-256 of $wheelhouse/SHA256SUMS: $(sha256sum <"$wheelhouse/SHA256SUMS" | cut -d' ' -f1)"
}

install_debian_packages() {
    local package missing=()
    for package in python3-venv libopenjp2-7; do
        dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null |
            grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} != 0 ] || return 0
    [ -z "$wheelhouse" ] || fail "the wheelhouse has no Debian packages; install first: ${missing[*]}"
    run apt-get install -y "${missing[@]}"
}

install_environment() {
    local name
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' ||
        fail "$python is not Python 3.10 to 3.13; choose another with --python"
    [ -z "$root" ] || require_python_of_image
    require_what_was_added
    name=$(next_release)
    build_release "$name"
    activate "$name"
    keep_two_releases
}

install_units() { # folder
    local unit
    for unit in "$1"/*.service "$1"/*.target; do
        run install -D -m 0644 "$unit" "$units/$(basename "$unit")"
    done
    run install -D -m 0644 "$1/sysusers.d/flightsw.conf" "$sysusers"
    run install -D -m 0644 "$1/tmpfiles.d/flightsw.conf" "$tmpfiles"
}

install_settings() {
    if [ -e "$configuration/flightsw.toml" ]; then
        say "$configuration/flightsw.toml already exists and is kept"
    else
        run install -D -m 0644 "$checkout/deploy/jetson/flightsw.toml" "$configuration/flightsw.toml"
    fi
    name_unit "$configuration/flightsw.toml"
}

name_unit() { # settings
    if [ -z "$unit" ]; then
        grep -qs '^unit *=' "$1" || say "set service.unit in $1 before the first start"
    elif grep -qs '^unit *=' "$1"; then
        grep -q "^unit *= *\"$unit\"" "$1" || fail "$1 names another unit than $unit; correct it there"
    else
        run sed -i "0,/^\\[service\\]/s//&\nunit = \"$unit\"/" "$1"
        [ -n "$dry_run" ] || grep -q '^unit *=' "$1" ||
            fail "$1 has no table [service]; add it, with unit = \"$unit\""
    fi
}

enable_units() {
    run systemctl ${root:+--root="$root"} enable \
        flightsw.target flightsw.service flightsw-clocks.service
}

restart_services() {
    run systemctl try-restart flightsw-clocks.service flightsw.service ||
        fail "the service does not start; see journalctl -u flightsw.service," \
            "and install.sh --rollback activates the previous release"
}

main
