#!/usr/bin/env bash
# The demo mission under Yamcs: a simulated scene, the flight service, the gateway and Yamcs, all on the loopback.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/mission.sh

echo "Simulating a scene, exchanging keys, starting the flight service."
simulate_scene >/dev/null
start_service "[dimc.twin]" >/dev/null # the simulator has the reference card's sensors
start gateway "APID 100" "$bin/groundsim" gateway --hazardous "${station[@]}"

echo "Starting Yamcs."
start yamcs http:// "$bin/python" -m deploy.yamcs demo/yamcs --port "${PORT:-8090}"

"$bin/groundsim" send SET_HOUSEKEEPING_RATE period_s=1 "${station[@]}" >/dev/null
echo "Yamcs is at $(cat demo/yamcs.log) until Ctrl-C. To command from it: PROCESS_SCENE scene=$scene"
wait "${started[0]}"
