"""The web dashboard's bridge: the three links in a browser, and an archive of all telemetry."""
