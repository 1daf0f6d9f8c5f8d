#!/usr/bin/env bash
# Sets up the virtual environment $1: a supported Python, OpenJPEG, pinned dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1

source deploy/packages.sh

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

python=$(find_python)
"$python" -c 'import ensurepip' 2>/dev/null || install_package python3-venv "virtual environments"
"$python" -c 'import ctypes.util, sys; sys.exit(ctypes.util.find_library("openjp2") is None)' ||
    install_package libopenjp2-7 "OpenJPEG, the JPEG 2000 decoder"
command -v strace >/dev/null ||
    install_package strace "which records what the service writes, for the tests"

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,ground,gateway,model,bench,archive]"
