#!/usr/bin/env bash
# Simulates a scene, processes it on the simulated card, and compares the mask with the truth.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1/bin
rm -rf demo
mkdir demo

echo "1. A scene is simulated: terrain, clouds, thin clouds and their shadows, as a SAFE product."
"$bin/groundsim" scene demo --size 2196 --seed 11
scene=$(echo demo/*.SAFE)

echo "2. The scene is processed: JPEG 2000 to INT8 tiles to cloud mask and products."
"$bin/flightsw" process "$scene" -o demo/products --products mask,geotiff,fill,quicklook,stac,report

echo "3. The mask is compared with the simulated truth."
"$bin/groundsim" score demo/products/*_cloud_mask.npy demo/*_truth.npy

echo "The quick-look is $(echo demo/products/*_visualization.jpg)"
