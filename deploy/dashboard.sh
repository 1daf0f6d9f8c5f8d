#!/usr/bin/env bash
# The demo mission in the browser: a simulated scene, the flight service, the bridge and its page.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1/bin
port=${PORT:-8090}
rm -rf demo
mkdir -p demo/scenes demo/received
export FLIGHTSW_GROUND_KEYS=demo/ground

stop() { # whatever happens, nothing that was started stays
    local status=$?
    trap - EXIT INT TERM
    for process in ${bridge:-} ${service:-}; do
        kill -TERM "$process" 2>/dev/null || continue
        wait "$process" || true
    done
    [ "$status" = 0 ] || [ "$status" = 130 ] || tail -n 5 demo/*.log >&2 2>/dev/null || true
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM

echo "A scene is simulated, keys are exchanged, the flight service starts."
"$bin/groundsim" scene demo/scenes --size 2196 --seed 11 >/dev/null
scene=$(basename demo/scenes/*.SAFE)
cat >demo/flight.toml <<'TOML'
[service]
state_dir = "demo/state"
scene_root = "demo/scenes"
telecommand_port = 0
telemetry_port = 0
downlink_port = 0
[dimc]
card = "simulator"
TOML
"$bin/flightsw" keys generate --settings demo/flight.toml >/dev/null
"$bin/groundsim" keys generate operator >/dev/null
"$bin/flightsw" keys authorise demo/ground/operator.key \
    --telecommand-key demo/ground/operator.telecommand_key --settings demo/flight.toml >/dev/null
"$bin/groundsim" keys trust demo/state/keys/service.key >/dev/null
"$bin/flightsw" serve --settings demo/flight.toml >demo/flight.log 2>&1 &
service=$!
for _ in $(seq 120); do
    kill -0 "$service" 2>/dev/null || exit 1
    [ -e demo/state/endpoints.json ] && grep -q SERVICE_STARTED demo/flight.log && break
    sleep 0.5
done

station=(--endpoints demo/state/endpoints.json)
"$bin/groundsim" dashboard --port "$port" --archive demo/telemetry.sqlite --received demo/received --fetch \
    "${station[@]}" >demo/dashboard.log 2>&1 &
bridge=$!
for _ in $(seq 60); do
    kill -0 "$bridge" 2>/dev/null || exit 1
    "$bin/python" - "$port" <<'PYTHON' && break
import sys, urllib.request
try:
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/api/status", timeout=1).close()
except OSError:
    sys.exit(1)
PYTHON
    sleep 0.5
done

echo "A scene is commanded, and a contact is opened: its products come down to demo/received."
"$bin/groundsim" send SET_HOUSEKEEPING_RATE period_s=1 "${station[@]}" >/dev/null
"$bin/groundsim" send OPEN_CONTACT bytes=1e9 seconds=3600 "${station[@]}" >/dev/null
"$bin/groundsim" send PROCESS_SCENE "scene=$scene" products=geotiff,quicklook,stac,report \
    "${station[@]}" >/dev/null

address=http://127.0.0.1:$port/
echo "The dashboard is at $address until Ctrl-C; command from it: PROCESS_SCENE scene=$scene"
[ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || ! command -v xdg-open >/dev/null || xdg-open "$address" >/dev/null 2>&1 || true
wait "$bridge"
