# shellcheck shell=bash
# Sourced by the scripts that build flightsw's wheel.

build_wheel() ( # Python with setuptools, checkout, folder for the wheel
    source=$(mktemp -d)
    trap 'rm -rf "$source"' EXIT
    # A copy: a folder build/ that an earlier build left in the checkout would be packed too.
    cd "$2" || exit
    cp -r pyproject.toml README.md LICENSE docs flightsw telecommands "$source"
    find "$source" -name __pycache__ -prune -exec rm -r {} +
    # The same date in every build, so that the same sources give the same bytes.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(commit_date)} "$1" -m pip wheel --quiet \
        --disable-pip-version-check --no-deps --no-build-isolation --no-index --wheel-dir "$3" "$source"
)

commit_date() { # seconds since 1970; without git the first date that a wheel can hold
    git log -1 --format=%ct 2>/dev/null || echo 315532800
}
