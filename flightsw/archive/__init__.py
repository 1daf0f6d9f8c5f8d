"""An archive of scenes through the chain of one scene, on Dask workers (docs/archive.md).

Nothing here distributes work: Dask's scheduler does.  This room makes the plan, computes a scene on
a worker, records its outcome, and describes all outcomes together.
"""
