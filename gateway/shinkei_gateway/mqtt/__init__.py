"""MQTT devices: a persistent session, acknowledged only when durable; topics and payloads mapped to facts."""
