#!/usr/bin/env bash
# deploy/test.sh VENV: mypy, the unit tests with their coverage, and all other tests beside them.
#
# The other tests wait for processes much of their time: three share two cores, and what they leave
# goes to the unit tests and mypy, so that both cores work to the end.  Coverage is measured on the
# unit tests; of the whole suite it would take too long.  What runs beside is shown when it ends.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1/bin
covered=92
shared=(--dist loadfile --no-loadscope-reorder)

# Processes of the tests find the project's bytecode, whatever the shell says, and each library has
# one thread, since the threads of several processes would wait for each other.
export PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1

shown=$(mktemp -d)
beside=()
stop() {
	kill "${beside[@]}" 2>/dev/null || true
	rm -rf "$shown"
}
trap stop EXIT

nice -n 10 "$bin/mypy" >"$shown/mypy" 2>&1 &
beside+=($!)
nice -n 10 "$bin/pytest" -n 2 "${shared[@]}" --cov --cov-report= --cov-fail-under=$covered tests/unit \
	>"$shown/unit" 2>&1 &
beside+=($!)

failed=0
"$bin/pytest" -n 3 "${shared[@]}" --ignore tests/unit tests || failed=$?
for part in "mypy ${beside[0]}" "unit ${beside[1]}"; do
	read -r name process <<<"$part"
	wait "$process" || failed=$?
	cat "$shown/$name"
done
exit "$failed"
