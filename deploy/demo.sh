#!/usr/bin/env bash
# A scene through the flight service: simulated, commanded, processed, received, compared with the truth.
set -euo pipefail
cd "$(dirname "$0")/.."
source deploy/mission.sh

echo "1. Simulating a scene: terrain, clouds, thin clouds and their shadows, as a SAFE product."
simulate_scene

echo "2. Generating and exchanging keys, starting the flight service."
start_service
"$bin/groundsim" wait --timeout 600 "${station[@]}"

echo "3. PROCESS_SCENE: JPEG 2000 to INT8 tiles to cloud mask and products."
"$bin/groundsim" watch --topics sci.cloud_fraction --count 1 --for 1200 "${station[@]}" >demo/cloud_fraction.json &
watching=$!
"$bin/groundsim" send PROCESS_SCENE "scene=$scene" products=geotiff,fill,quicklook,stac,report "${station[@]}"
wait "$watching"
"$bin/python" -c 'import json; p = json.loads(open("demo/cloud_fraction.json").readline()); b = p["body"]
print("cloud fraction {:.1%} of {:,} valid pixels, tile map {} x {}".format(b["contaminated"], b["valid_pixels"], b["rows"], b["columns"]))'

echo "4. Opening a contact and downlinking the products."
"$bin/groundsim" fetch demo/received --contact 1e9,120 "${station[@]}"

echo "5. Comparing the downlinked mask with the simulated truth."
"$bin/groundsim" score demo/received/demo/*/*_cloud_mask.tif demo/scenes/*_truth.npy

"$bin/groundsim" send SHUT_DOWN --yes "${station[@]}" >/dev/null
wait "${started[0]}"
started=()
echo "The quick-look is $(echo demo/received/demo/*/*_visualization.jpg)"
