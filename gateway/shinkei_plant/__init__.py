"""A simulated line that makes electric coolant pumps, and recordings played as machines: OPC UA servers and MQTT devices.

Deterministic from a seed, on its own clock, with planted troubles whose right answers are known. For the demo, drills and tests.
"""

__all__: list[str] = []
