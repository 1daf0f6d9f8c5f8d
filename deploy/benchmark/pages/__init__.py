"""The sections of ``docs/benchmarks.md``, each rendered from its part of the results."""
