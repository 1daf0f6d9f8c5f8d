#!/usr/bin/env bash
# Sets up the virtual environment $1: a supported Python, OpenJPEG, pinned dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1

fail() {
    echo "setup: $*" >&2
    exit 1
}

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python3.10; do
        if "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "no Python 3.10 to 3.13 found; install one, for example: apt-get install python3 python3-venv"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

install_package() { # Debian package, and what it is for
    echo "setup: installing $1 ($2)"
    command -v apt-get >/dev/null || fail "$1 is missing ($2) and there is no apt-get; install it by hand"
    as_root apt-get install -y -qq "$1" >/dev/null 2>&1 && return
    as_root apt-get update -qq && as_root apt-get install -y -qq "$1" ||
        fail "$1 is missing ($2) and could not be installed; run: sudo apt-get install $1"
}

python=$(find_python)
"$python" -c 'import ensurepip' 2>/dev/null || install_package python3-venv "virtual environments"
"$python" -c 'import ctypes.util, sys; sys.exit(ctypes.util.find_library("openjp2") is None)' ||
    install_package libopenjp2-7 "OpenJPEG, the JPEG 2000 decoder"

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,ground,model,bench]"
