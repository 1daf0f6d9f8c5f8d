#!/usr/bin/env bash
# Installs Yamcs, its Java and its client into the virtual environment $1, apart from the project's.
# Yamcs is AGPL and yamcs-client LGPL: tools of the user's own installation, never linked or shipped.
set -euo pipefail
venv=$1
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -r "$(dirname "$0")/requirements.txt"
