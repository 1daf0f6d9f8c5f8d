"""Ground station simulator: commanding, telemetry, downlink, scenarios, scenes, mask scores."""
