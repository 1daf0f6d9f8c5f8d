"""The streaming pipeline, free of the daemon: ``process_scene`` runs anywhere."""

from flightsw.pipeline.process import process_scene

__all__ = ["process_scene"]
