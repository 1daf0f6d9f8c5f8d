"""The dashboard's figures: a real bridge, a real link, a real browser (docs/benchmarks.md)."""
