#!/usr/bin/env bash
# The demo mission in the browser: a simulated scene, the flight service, the bridge and its page.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/mission.sh
port=(${PORT:+--port "$PORT"})

echo "Simulating a scene, exchanging keys, starting the flight service."
simulate_scene >/dev/null
start_service "[dimc.twin]" >/dev/null # the simulator has the reference card's sensors
archive=(--archive demo/telemetry.sqlite)
start dashboard http:// "$bin/groundsim" dashboard "${port[@]}" "${archive[@]}" \
    --received demo/received --fetch "${station[@]}"

echo "Commanding the scene and opening a contact: its products are downlinked to demo/received."
"$bin/groundsim" send SET_HOUSEKEEPING_RATE period_s=1 "${station[@]}" >/dev/null
"$bin/groundsim" send OPEN_CONTACT bytes=1e9 seconds=3600 "${station[@]}" >/dev/null
"$bin/groundsim" send PROCESS_SCENE "scene=$scene" products=geotiff,quicklook,stac,report \
    "${station[@]}" >/dev/null

address=$("$bin/groundsim" dashboard --address "${port[@]}" "${archive[@]}")
echo "The dashboard is at $address until Ctrl-C. To command from it: PROCESS_SCENE scene=$scene"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then
    # Through a file that only the user can read: all users can see a browser's command line.
    (umask 077 && echo "<meta http-equiv=\"refresh\" content=\"0; url=$address\">" >demo/dashboard.html)
    xdg-open demo/dashboard.html >/dev/null 2>&1 || true
fi
wait "${started[0]}"
