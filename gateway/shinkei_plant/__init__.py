"""A simulated line with planted faults that speaks OPC UA and MQTT: for the demo, drills and tests."""
