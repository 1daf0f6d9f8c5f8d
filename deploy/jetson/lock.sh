#!/usr/bin/env bash
# Writes the locks: the exact version and the hashes of every distribution that is installed.
# Run it after a change of pyproject.toml or constraints.txt; it needs uv and the package index.
set -euo pipefail
cd "$(dirname "$0")/../.."
uv=${UV:-uv}

lock() { # file, Python, platform, further options of uv
    # setuptools builds flightsw itself, without fetching anything.
    echo "setuptools>=77" | "$uv" pip compile pyproject.toml - "${@:4}" --constraint constraints.txt \
        --generate-hashes --no-annotate --no-header --no-python-downloads \
        --python-version "$2" --python-platform "$3" --quiet --output-file "$1"
}

lock deploy/jetson/requirements.txt 3.10 aarch64-manylinux_2_35
lock deploy/container/requirements.txt 3.12 x86_64-manylinux_2_36 --extra ground
