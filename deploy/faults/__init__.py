"""Fault campaigns: seeded, resumable, with totals (docs/reliability.md)."""
