"""Lineage: which part came from what, went where, and what happened to it."""
