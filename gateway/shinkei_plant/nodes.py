"""Names in a machine's OPC UA address space, shared by its server and by the configuration that maps it. No OPC UA library here."""

from __future__ import annotations


def uri(machine: str) -> str:
    """The namespace of a machine."""
    return f"urn:shinkei:plant:{machine}"


def reading_node(name: str) -> str:
    """The node of a reading of the cycle: ``leak_rate`` is ``Cycle.LeakRate``."""
    return "Cycle." + "".join(word.capitalize() for word in name.split("_"))


def server_uri(machine: str) -> str:
    """The application URI of a machine's server, as its certificate says it too."""
    return f"urn:shinkei:plant:server:{machine}"
