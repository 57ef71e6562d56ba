"""Words of a command that name a source, a machine or a shard of a plant: what there is, and which one was probably meant.

One way for all commands: a name that is none is wrong use (`BadConfig`, exit 2), before anybody is asked. Used by the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shinkei_events.settings import PlantFile
    from shinkei_gateway.opcua.settings import OpcuaSource
    from shinkei_gateway.settings import Source

ANSWER_S = 5.0


def sources(plant: PlantFile) -> dict[str, Source]:
    """The sources of plant.toml by name, checked. Raises `BadConfig`."""
    from shinkei_events.settings import section
    from shinkei_gateway.settings import GatewaySettings, sources_of

    return sources_of(section(plant, "gateway", GatewaySettings))


def opcua_source(plant: PlantFile, where: str, meant: str) -> tuple[str, OpcuaSource] | None:
    """The OPC UA source called ``meant``, or of that URL; None for a URL of none. Raises `BadConfig` for a name of none."""
    from shinkei_events.allowed import named
    from shinkei_gateway.opcua.settings import OpcuaSource

    known = {name: source for name, source in sources(plant).items() if isinstance(source, OpcuaSource)}
    for name, source in known.items():
        if meant.rstrip("/") in {name, source.url.rstrip("/")}:
            return name, source
    if "://" not in meant:
        named(where, meant, known, "source of plant.toml with type opcua")
    return None


def machines(plant: PlantFile) -> set[str]:
    """The machines that gateways running in this folder have heard of, with those that plant.toml names; empty when a shard does not answer."""
    from shinkei_cli.health import ask
    from shinkei_events.runfile import read_run
    from shinkei_events.settings import section
    from shinkei_gateway.settings import GatewaySettings, machines_of, shards_of, sources_of
    from shinkei_gateway.shards import part_name

    settings = section(plant, "gateway", GatewaySettings)
    found = {name for source in sources_of(settings).values() for name in machines_of(source)}
    for shard in shards_of(settings):
        run = read_run(plant.dir, part_name(settings, shard))
        said = None if run is None else ask(run["http"], ANSWER_S)
        if said is None:
            return set()
        found |= {name for source in said["details"].get("sources", {}).values() for name in source["machines"]}
    return found
