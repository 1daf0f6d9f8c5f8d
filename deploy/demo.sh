#!/usr/bin/env bash
# A scene through the flight service: simulated, commanded, processed, received, compared with the truth.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1/bin
rm -rf demo
mkdir -p demo/scenes demo/received
export FLIGHTSW_GROUND_KEYS=demo/ground

stop() { # whatever happens, nothing that was started stays
    local status=$?
    if [ -n "${service:-}" ] && kill -0 "$service" 2>/dev/null; then
        kill -TERM "$service"
        wait "$service" || true
    fi
    [ "$status" = 0 ] || tail -n 5 demo/flight.log >&2 2>/dev/null || true
    exit "$status"
}
trap stop EXIT

echo "1. A scene is simulated: terrain, clouds, thin clouds and their shadows, as a SAFE product."
"$bin/groundsim" scene demo/scenes --size 2196 --seed 11
scene=$(basename demo/scenes/*.SAFE)

echo "2. Keys are made and exchanged, and the flight service starts."
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
    --telecommand-key demo/ground/operator.telecommand_key --settings demo/flight.toml
"$bin/groundsim" keys trust demo/state/keys/service.key >/dev/null
"$bin/flightsw" serve --settings demo/flight.toml >demo/flight.log 2>&1 &
service=$!
station=(--endpoints demo/state/endpoints.json)
for _ in $(seq 60); do
    kill -0 "$service" 2>/dev/null || exit 1
    [ -e demo/state/endpoints.json ] && grep -q SERVICE_STARTED demo/flight.log && break
    sleep 0.5
done
"$bin/groundsim" send PING "${station[@]}"

echo "3. PROCESS_SCENE: JPEG 2000 to INT8 tiles to cloud mask and products."
"$bin/groundsim" watch --topics sci.cloud_fraction --count 1 --for 120 "${station[@]}" >demo/cloud_fraction.json &
watching=$!
"$bin/groundsim" send PROCESS_SCENE "scene=$scene" products=geotiff,fill,quicklook,stac,report "${station[@]}"
wait "$watching"
"$bin/python" -c 'import json; p = json.loads(open("demo/cloud_fraction.json").readline()); b = p["body"]
print("cloud fraction {:.1%} of {:,} valid pixels, tile map {} x {}".format(b["contaminated"], b["valid_pixels"], b["rows"], b["columns"]))'

echo "4. A contact opens, and the products come down."
"$bin/groundsim" fetch demo/received --contact 1e9,120 "${station[@]}"

echo "5. The mask that came down is compared with the simulated truth."
"$bin/groundsim" score demo/received/*/*_cloud_mask.tif demo/scenes/*_truth.npy

"$bin/groundsim" send SHUT_DOWN --yes "${station[@]}" >/dev/null
wait "$service"
service=
echo "The quick-look is $(echo demo/received/*/*_visualization.jpg)"
