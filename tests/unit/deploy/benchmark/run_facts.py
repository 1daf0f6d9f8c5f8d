"""What every part of the results says of its run."""

RUN = {"command": "python -m deploy.benchmark", "date": "2026-11-23", "machine": "2 cores"}
