# Sourced by demo.sh and dashboard.sh: the demo mission below demo/, with the commands of the virtual environment $1.

bin=$1/bin
export FLIGHTSW_GROUND_KEYS=demo/ground
station=(--endpoints demo/state/endpoints.json)
started=()

stop() { # end every process that was started, whatever happened
    local status=$? process
    trap - EXIT INT TERM
    for process in "${started[@]}"; do
        kill -TERM "$process" 2>/dev/null || continue
        wait "$process" || true
    done
    [ "$status" = 0 ] || [ "$status" = 130 ] || tail -n 5 demo/*.log >&2 2>/dev/null || true
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM

start() { # name of the log, text in the log when it is ready, command
    local log=demo/$1.log ready=$2
    : >"$log" # the child makes it later than the first look
    "${@:3}" >>"$log" 2>&1 &
    started=($! "${started[@]}")
    for _ in $(seq 120); do
        kill -0 "${started[0]}" 2>/dev/null || exit 1
        ! grep -q "$ready" "$log" || return 0
        sleep 0.5
    done
    exit 1
}

simulate_scene() {
    rm -rf demo
    mkdir -p demo/scenes demo/received
    "$bin/groundsim" scene demo/scenes --size 2196 --seed 11
    scene=$(basename demo/scenes/*.SAFE)
}

start_service() { # with more lines of the settings; keys are exchanged between both sides
    cat >demo/flight.toml <<TOML
[service]
unit = "demo"
state_dir = "demo/state"
scene_root = "demo/scenes"
telecommand_port = 0
telemetry_port = 0
downlink_port = 0
[dimc]
card = "simulator"
${1:-}
TOML
    "$bin/flightsw" keys generate --settings demo/flight.toml >/dev/null
    "$bin/groundsim" keys generate operator >/dev/null
    "$bin/flightsw" keys authorise demo/ground/operator.key \
        --telecommand-key demo/ground/operator.telecommand_key --settings demo/flight.toml
    "$bin/groundsim" keys trust demo/state/keys/service.key >/dev/null
    start flight SERVICE_STARTED "$bin/flightsw" serve --settings demo/flight.toml
}
