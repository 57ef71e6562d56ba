"""Sparkplug B 3.0 host: births, aliases, sequence numbers and deaths of edge nodes and devices, mapped to facts."""
