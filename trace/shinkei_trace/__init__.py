"""The lineage: what became of what, as a projection of the recorded production events that can be made again at any time.

Writes unit, event, edge, setup, top_closure and seen; reads ``event_raw``. Knows no log and no machine. `facts` and `fold` are pure,
`ingest` is the shell that keeps the tables true, `query` answers backward, forward and history.
"""
