"""Names of the line's Sparkplug device, shared by the device and by the configuration that maps it. No MQTT library here."""

from __future__ import annotations

GROUP, HOST_ID = "pumps", "gw-01"
REBIRTH = "Node Control/Rebirth"
STATES = {
    "State": "state",
    "State/Reason": "reason",
    "State/Product": "product",
    "State/Recipe": "recipe",
    "State/Tool": "tool",
}
"""Metrics of a state change, all said in one message."""
ENERGY, OPERATION, SETUP = "Energy/Total", "Cycle/Operation", "Setup"


def node_of(machine: str) -> str:
    """The edge node of a machine."""
    return f"{machine}-edge"
