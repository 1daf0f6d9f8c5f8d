"""Yamcs as a mission-control system on this machine: configuration and start."""
