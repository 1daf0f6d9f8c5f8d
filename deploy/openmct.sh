#!/usr/bin/env bash
# NASA's Open MCT, prebuilt, from npm into node_modules: the dashboard's page needs it.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/packages.sh

command -v npm >/dev/null || install_package npm "Open MCT comes from npm"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null ||
    fail "npm could not install Open MCT (package-lock.json); is the npm registry reachable?"
[ -e node_modules/openmct/dist/openmct.js ] || fail "node_modules/openmct has no dist/openmct.js"
