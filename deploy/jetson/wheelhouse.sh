#!/usr/bin/env bash
# Collects what install.sh needs, on a machine with a network, for a flight unit that has none.
set -euo pipefail
umask 022
scripts=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=places.sh
source "$scripts/places.sh"
# shellcheck source-path=SCRIPTDIR source=wheel.sh
source "$scripts/wheel.sh"

usage() {
    cat <<USAGE
usage: wheelhouse.sh [--add WHEEL]... [--machine NAME] [--python-version X.Y] [--python PYTHON] DIR

  --add WHEEL           also this wheel, such as the Jetson's torch, and what it requires
  --machine NAME        the processor, as uname -m names it (default: aarch64)
  --python-version X.Y  the Python of the flight unit (default: 3.10)
  --python PYTHON       the Python that downloads (default: python3)
  DIR                   a new folder
USAGE
}

added=()
machine=aarch64
python_version=3.10
python=python3
folder=
while [ $# -gt 0 ]; do
    case $1 in
    --add) added+=("${2:?--add needs a wheel}") && shift ;;
    --machine) machine=${2:?--machine needs a name} && shift ;;
    --python-version) python_version=${2:?--python-version needs a version} && shift ;;
    --python) python=${2:?--python needs a command} && shift ;;
    -h | --help) usage && exit ;;
    -*) usage >&2 && fail "unknown option: $1" ;;
    *) folder=$1 ;;
    esac
    shift
done

main() {
    [ -n "$folder" ] || { usage >&2 && fail "name the folder of the wheelhouse"; }
    mkdir "$folder" || fail "$folder cannot be made; give a new folder"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    download --require-hashes --no-deps --requirement "$lock"
    [ ${#added[@]} = 0 ] || download --find-links "$folder" "${added[@]}"
    build
    mkdir "$folder/deploy"
    cp -r "$checkout/deploy/jetson" "$folder/deploy/jetson"
    cp -r "$checkout/systemd" "$folder/systemd"
    (cd "$folder" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum >"$work/sums")
    cp "$work/sums" "$folder/SHA256SUMS"
    say "SHA-256 of $folder/SHA256SUMS: $(sha256sum <"$folder/SHA256SUMS" | cut -d' ' -f1)"
    say "on the unit: sudo DIR/deploy/jetson/install.sh --wheelhouse DIR; it prints the same number"
}

download() { # options and requirements of pip
    local minor platforms=(--platform "manylinux2014_$machine" --platform "linux_$machine")
    for minor in {5..35}; do # glibc of Ubuntu 22.04
        platforms+=(--platform "manylinux_2_${minor}_$machine")
    done
    "$python" -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
        "${platforms[@]}" --implementation cp --python-version "$python_version" \
        --dest "$folder" "$@"
}

build() { # flightsw's own wheel, with the setuptools of the lock
    "$python" -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index \
        --find-links "$folder" --upgrade setuptools
    build_wheel "$work/venv/bin/python" "$checkout" "$folder"
}

main
