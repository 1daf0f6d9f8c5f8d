"""Onboard service that turns a Sentinel-2 scene into a cloud mask."""

__version__ = "0.1.0"
