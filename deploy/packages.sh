# Sourced by the set-up scripts: installs missing Debian packages and says what they are for.

fail() {
    echo "setup: $*" >&2
    exit 1
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
    { as_root apt-get update -qq && as_root apt-get install -y -qq "$1"; } >/dev/null ||
        fail "$1 is missing ($2) and could not be installed; run: sudo apt-get install $1"
}
