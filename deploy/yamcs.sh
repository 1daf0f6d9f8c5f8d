#!/usr/bin/env bash
# The demo mission under Yamcs: a simulated scene, the flight service, the gateway and Yamcs, all on the loopback.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/mission.sh

echo "Simulating a scene, exchanging keys, starting the flight service."
simulate_scene >/dev/null
start_service "[dimc.twin]" >/dev/null # the simulator has the reference card's sensors
start gateway "APID 100" "$bin/groundsim" gateway --hazardous "${station[@]}"
start files "cfdp  entity" "$bin/groundsim" cfdp demo/received --tcp --listen 127.0.0.1:7001 \
    --pdu-bytes 4096 --rate 1e6 "${station[@]}"

echo "Starting Yamcs."
start yamcs http:// "$bin/python" -m deploy.yamcs demo/yamcs --port "${PORT:-8090}" --files 127.0.0.1:7001

"$bin/groundsim" send SET_HOUSEKEEPING_RATE period_s=1 "${station[@]}" >/dev/null
echo "Yamcs is at $(cat demo/yamcs.log) until Ctrl-C. To command from it: PROCESS_SCENE scene=$scene, then OPEN_CONTACT; products arrive in the bucket products."
wait "${started[0]}"
