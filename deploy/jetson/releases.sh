# shellcheck shell=bash disable=SC2154 # variables of the script that sources this
# Sourced by install.sh.  Each release is a virtual environment in its own folder, and /opt/flightsw
# is a link to the active one; a release is complete before the link changes.

version_to_install() {
    if [ -n "$wheelhouse" ]; then
        local wheel=("$wheelhouse"/flightsw-*.whl)
        basename "${wheel[0]}" | cut -d- -f2
    else
        sed -n 's/^__version__ = "\(.*\)"/\1/p' "$checkout/flightsw/__init__.py"
    fi
}

next_release() { # VERSION-N: N counts the installations
    local folder last=0
    for folder in "$releases"/*-*; do
        [[ ${folder##*-} =~ ^[0-9]+$ ]] && ((${folder##*-} > last)) && last=${folder##*-}
    done
    echo "$(version_to_install)-$((last + 1))"
}

build_release() { # name; the active release is not changed
    new=$releases/$1 # the trap needs it
    local pip=("$new/bin/python" -m pip install --disable-pip-version-check)
    [ -z "$wheelhouse" ] || pip+=(--no-index --find-links "$wheelhouse")
    [ -n "$dry_run" ] || trap 'rm -rf "$new"' EXIT
    run install -d "$releases"
    run "$python" -m venv "$new"
    run "${pip[@]}" --require-hashes --only-binary=:all: --requirement "$lock"
    run "${pip[@]}" --no-deps "$(wheel_to_install "$new")"
    [ ${#added[@]} = 0 ] || run "${pip[@]}" "${added[@]}"
    # Paths of JetPack's own packages, which an operator may name, hold for every release.
    run ln -s /etc/flightsw/paths.pth "$(site_packages "$new")/flightsw-paths.pth"
    run cp -r "$checkout/systemd" "$new/systemd"
    run "$new/bin/flightsw" --version
    [ -z "$root" ] || run name_the_image_s_paths "$new"
    run sync --file-system "$releases"
    trap - EXIT
}

site_packages() { # release
    "$python" -c 'import sys; print("%s/lib/python%d.%d/site-packages" % (sys.argv[1], *sys.version_info[:2]))' "$1"
}

wheel_to_install() { # release
    if [ -n "$wheelhouse" ]; then
        echo "$wheelhouse"/flightsw-*.whl
    elif [ -n "$dry_run" ]; then
        echo "$checkout"
    else
        build_wheel "$1/bin/python" "$checkout" "$1/wheel"
        echo "$1"/wheel/flightsw-*.whl
    fi
}

name_the_image_s_paths() { # release; in the image, it lies at the path without $root
    local file pattern
    pattern=$(printf '%s' "$root/opt/flightsw" | sed 's/[][\.*^$|]/\\&/g')
    find "$1/bin" "$1/pyvenv.cfg" -type f | while read -r file; do
        if grep -qI "$pattern" "$file"; then sed -i "s|$pattern|/opt/flightsw|g" "$file"; fi
    done
}

require_python_of_image() { # the image's Python runs the release, the one of this machine makes it
    local its
    its=$("$python" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')
    # The first bytes of a program name its processor.
    cmp --quiet --bytes=20 "$its" "$root$its" ||
        fail "$python is $its, but the image has no such Python for this processor at $root$its;" \
            "choose the image's with --python, or run install.sh inside the image (systemd-nspawn)"
}

require_what_was_added() { # distributions that were installed by hand must be given, or left out
    local found name given
    [ -x "$environment/bin/python" ] || return 0
    found=$(added_distributions) ||
        fail "the distributions of $environment cannot be listed; see the message above"
    given=" ${left_out[*]-} $(names_of "${added[@]+"${added[@]}"}") "
    for name in $found; do
        [[ $given = *" $name "* ]] || lacks "$name"
    done
}

lacks() { # distribution
    local options="--add, or --without $1"
    [ "$1" != torch ] || options="--torch, or --without-torch"
    fail "the active release has $1, which the new one would lack; give its wheel with $options"
}

added_distributions() { # in the active release: torch, and what no other distribution there needs
    local pip=("$environment/bin/python" -m pip list --disable-pip-version-check --format=freeze --local)
    "${pip[@]}" --not-required | names | { grep -vxE 'flightsw|pip|setuptools|wheel|torch' || true; }
    "${pip[@]}" | names | { grep -x torch || true; }
}

names_of() { # requirements and wheels
    local each
    for each in "$@"; do
        case $each in
        *.whl) basename "$each" | cut -d- -f1 ;;
        *) echo "${each%%[<>=!~;@[ ]*}" ;;
        esac
    done | names | paste -sd ' '
}

names() { # of lines NAME==VERSION, as the package index compares them
    sed 's/[ =].*//' | tr 'A-Z_.' 'a-z--'
}

activate() { # name; the release that was active becomes the previous one
    local before=
    [ ! -L "$environment" ] || before=$(basename "$(readlink "$environment")")
    if [ -d "$environment" ] && [ ! -L "$environment" ]; then
        before=earlier-0
        say "$environment is a folder; it becomes the release $before"
        run mv -T "$environment" "$releases/$before"
    fi
    point "$environment" "flightsw-releases/$1"
    [ -z "$before" ] || point "$releases/previous" "$before"
}

point() { # link, target; at no moment is there no link
    run ln -sfn "$2" "$1.new"
    run mv -T "$1.new" "$1"
}

keep_two_releases() { # the active one and the previous one
    local folder
    for folder in "$releases"/*; do
        [ ! -L "$folder" ] || continue
        [ "$folder" -ef "$environment" ] || [ "$folder" -ef "$releases/previous" ] ||
            run rm -rf "$folder"
    done
}

previous_release() {
    local name
    name=$(readlink "$releases/previous") || fail "no release was active before: nothing to go back to"
    [ -x "$releases/$name/bin/flightsw" ] || fail "$releases/$name is incomplete; install again"
    echo "$name"
}
