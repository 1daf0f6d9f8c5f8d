#!/usr/bin/env bash
# Installs Chromium for the tests of the dashboard's page: Playwright drives it and brings none itself.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/packages.sh

for name in chromium chromium-browser google-chrome; do
    ! command -v "$name" >/dev/null || exit 0
done
install_package chromium "tests of the dashboard in a real browser"
