#!/usr/bin/env bash
# Installs or updates flightsw on a Jetson from this checkout; safe to run again at any time.
set -euo pipefail
umask 022
# shellcheck source-path=SCRIPTDIR source=places.sh
source "$(dirname "${BASH_SOURCE[0]}")/places.sh"

usage() {
    cat <<END
usage: install.sh [--torch REQUIREMENT] [--python PYTHON] [--keep-environment] [--root DIR] [--dry-run]

  --torch REQUIREMENT   install this build of torch first: a wheel or a requirement, for the Jetson
  --python PYTHON       the Python of the virtual environment (default: python3)
  --keep-environment    do not change /opt/flightsw
  --root DIR            install below DIR without touching the running system
  --dry-run             show what would be done without doing it
END
}

torch=
python=python3
keep_environment=
while [ $# -gt 0 ]; do
    case $1 in
    --torch) torch=${2:?--torch needs a requirement} && shift ;;
    --python) python=${2:?--python needs a command} && shift ;;
    --keep-environment) keep_environment=yes ;;
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
    [ -n "$root" ] || install_debian_packages
    [ -n "$keep_environment" ] || install_environment
    install_units
    install_settings
    if [ -z "$root" ]; then
        create_user_and_folders
        generate_keys
        run systemctl daemon-reload
    fi
    enable_units
    [ -n "$root" ] || run systemctl try-restart flightsw-clocks.service flightsw.service
    say "done. Next: authorise a ground station's key, then run systemctl start flightsw.target"
}

install_debian_packages() {
    local package missing=()
    for package in python3-venv libopenjp2-7; do
        dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null |
            grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] || run apt-get install -y "${missing[@]}"
}

install_environment() {
    local pip=("$environment/bin/python" -m pip install --disable-pip-version-check)
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' ||
        fail "$python is not Python 3.10 to 3.13; choose another with --python"
    [ -x "$environment/bin/python" ] || run "$python" -m venv "$environment"
    [ -z "$torch" ] || run "${pip[@]}" "$torch"
    run "${pip[@]}" "$checkout"
}

install_units() {
    local unit
    for unit in flightsw.service flightsw-clocks.service flightsw.target; do
        run install -D -m 0644 "$checkout/systemd/$unit" "$units/$unit"
    done
    run install -D -m 0644 "$checkout/systemd/sysusers.d/flightsw.conf" "$sysusers"
    run install -D -m 0644 "$checkout/systemd/tmpfiles.d/flightsw.conf" "$tmpfiles"
}

install_settings() {
    if [ -e "$configuration/flightsw.toml" ]; then
        say "$configuration/flightsw.toml already exists and is kept"
    else
        run install -D -m 0644 "$checkout/deploy/jetson/flightsw.toml" "$configuration/flightsw.toml"
    fi
}

create_user_and_folders() {
    run systemd-sysusers "$sysusers"
    run systemd-tmpfiles --create "$tmpfiles"
}

generate_keys() {
    if [ -e "$state/keys/service.key_secret" ]; then
        say "$state/keys already holds the keys of the service"
    else
        run runuser -u flightsw -- "$environment/bin/flightsw" keys generate \
            --settings "$configuration/flightsw.toml"
    fi
}

enable_units() {
    run systemctl ${root:+--root="$root"} enable \
        flightsw.target flightsw.service flightsw-clocks.service
}

main
