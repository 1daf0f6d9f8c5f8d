"""CCSDS space packets with PUS-C services for mission-control systems (docs/mission-control.md)."""
