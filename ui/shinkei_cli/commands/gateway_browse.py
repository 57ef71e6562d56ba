"""``shinkei gateway browse``: what an OPC UA server offers, a part of plant.toml for it, and what has changed since.

Connects itself; a running gateway is not needed. Knows nothing of address spaces: `shinkei_gateway.opcua` does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED
from shinkei_cli.output import add_format, print_rows, say
from shinkei_cli.part import Subparsers

if TYPE_CHECKING:
    from shinkei_gateway.opcua.difference import Known
    from shinkei_gateway.opcua.settings import OpcuaSource
    from shinkei_gateway.opcua.tree import Tree
    from shinkei_gateway.settings import GatewaySettings


SECURITY = "Basic256Sha256"
NAMED_MOST = 20
"""Nodes that could not be browsed are named so far; all of them are in what --write writes."""


def register(commands: Subparsers) -> None:
    """Add `browse`."""
    browse = commands.add_parser(
        "browse",
        help="what an OPC UA server offers, as a tree or as a part of plant.toml; exit 1 when it is not as FILE has it",
    )
    browse.add_argument(
        "where", metavar="URL|SOURCE", help="opc.tcp://host:port, or the name of a source in plant.toml"
    )
    browse.add_argument(
        "--security",
        choices=("none", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"),
        help=f"how to connect to a URL that is no source in plant.toml (default: {SECURITY}, signed and encrypted)",
    )
    browse.add_argument("--node", default="", help="start at this node, like nsu=urn:maker;s=Line (default: Objects)")
    browse.add_argument("--depth", type=int, default=32, help="levels below the start (default: 32)")
    browse.add_argument("--most", type=int, default=200_000, help="stop after this many nodes (default: 200000)")
    browse.add_argument("--filter", default="", metavar="TEXT", help="print only paths with this text, or like *.Temp*")
    browse.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="write a part of plant.toml with what was found; when FILE is there, print what changed since",
    )
    browse.add_argument("--force", action="store_true", help="write over FILE, with what a person changed in it")
    browse.add_argument(
        "--machine", default="", metavar="ID", help="the machine's id in it, when the server is one machine"
    )
    browse.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="print what changed since FILE: a plant.toml, or an earlier --format json",
    )
    add_config(browse)
    add_format(browse)
    browse.set_defaults(handler=_browse)


def _browse(args: argparse.Namespace) -> int:
    from shinkei_gateway.opcua import listing

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it has to say comes as an error with its reason
    name, source, raw = _source(args)
    is_kept = args.write is not None and args.write.exists() and not args.force
    against = args.against or (args.write if is_kept else None)
    before = _before(against, source.url) if against else None
    tree, elsewhere = asyncio.run(_ask(args, name, source, [k.node for k in before[0]] if before else []))
    if tree.is_cut:
        say(f"stopped after {len(tree.nodes)} nodes; there are more (--most, --depth or --node)", sys.stderr)
    if refused := listing.refused(tree):
        more = f" and {len(refused) - NAMED_MOST} more" if len(refused) > NAMED_MOST else ""
        say(f"{len(refused)} nodes could not be browsed: {', '.join(refused[:NAMED_MOST])}{more}", sys.stderr)
    if is_kept:
        since = "" if against == args.write else f" {against}"
        say(
            f"{args.write} is there and was left as it is; this is what changed since{since} (--force writes over it)",
            sys.stderr,
        )
    elif args.write is not None:
        _write(args, tree, source.url, raw)
    if before is not None:
        return _changes(args, tree, before, elsewhere)
    if args.write is None or args.format != "table":
        columns = listing.TREE_COLUMNS if args.format == "table" else listing.COLUMNS
        print_rows(listing.rows(tree, args.filter), columns, args.format)
    return DONE


def _source(args: argparse.Namespace) -> tuple[str, OpcuaSource, dict[str, Any]]:
    """Name, checked settings and own keys of what is to be browsed. Raises `BadConfig`."""
    from shinkei_cli.named import opcua_source
    from shinkei_events.settings import section, strict
    from shinkei_gateway.opcua.settings import OpcuaSource, check_opcua
    from shinkei_gateway.settings import GatewaySettings

    if "://" not in args.where or (args.security is None and args.config is not None):
        plant = plant_of(args)
        if (found := opcua_source(plant, "URL|SOURCE", args.where)) is not None:
            return *found, section(plant, "gateway", GatewaySettings).sources[found[0]]
    raw = {"type": "opcua", "url": args.where, "security": args.security or SECURITY}
    source = strict(raw | {"machine": "browse", "timeout": "10s"}, OpcuaSource, "browse")
    check_opcua(source, "browse")
    return "browse", source, raw


async def _ask(
    args: argparse.Namespace, name: str, source: OpcuaSource, also: list[str]
) -> tuple[Tree, dict[str, str]]:
    from shinkei_events.errors import NotConnected, RetryAfter
    from shinkei_gateway.opcua.browse import browse, types_of
    from shinkei_gateway.opcua.security import security_of
    from shinkei_gateway.opcua.session import Session

    security = None
    if source.security != "none" or source.user is not None:
        security = security_of(name, source, plant_of(args))
    session = Session(source.url, f"shinkei browse {name}", source.timeout, security.secure if security else None)
    try:
        await session.connect()
        tree = await browse(session, args.node, depth=args.depth, most=args.most, progress=progress())
        there = {tree.text(at) for at in range(len(tree.nodes))}
        return tree, await types_of(session, [node for node in also if node not in there])
    except NotConnected as error:
        found = security.explain(error) if security else error
        raise (found if isinstance(found, RetryAfter) else NotConnected(f"{source.url}: {found}")) from error
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        await session.close()


def progress() -> Callable[[str, int], None] | None:
    """One line that counts, on a terminal only."""
    if not sys.stderr.isatty():
        return None

    def tell(what: str, count: int) -> None:
        sys.stderr.write(f"\r{what} {count} nodes\x1b[K")
        sys.stderr.flush()

    return tell


def _write(args: argparse.Namespace, tree: Tree, url: str, raw: dict[str, Any]) -> None:
    from shinkei_gateway.opcua import listing
    from shinkei_gateway.opcua.proposal import propose, toml_of

    own = {
        key: value
        for key, value in raw.items()
        if key in ("url", "security", "mode", "user", "server_certificate", "discovery", "revocation")
    }
    found = propose(tree, own, args.machine)
    args.write.write_text(toml_of(found, url, listing.refused(tree)), encoding="utf-8")
    signals = sum(len(source.settings["signals"]) for source in found)
    say(f"{args.write}: {len(found)} machines, {signals} signals", sys.stderr)


# ---- what changed ----------------------------------------------------------------------------------------------------------
def _before(file: Path, url: str) -> tuple[list[Known], bool]:
    """Nodes as they were, and whether their names are paths. Raises `BadConfig`."""
    from shinkei_events.errors import BadConfig, BadInput
    from shinkei_gateway.opcua.difference import configured
    from shinkei_gateway.opcua.listing import known_of_rows
    from shinkei_gateway.settings import sources_of

    if file.suffix == ".json":
        try:
            return known_of_rows(json.loads(file.read_text(encoding="utf-8"))), True
        except (OSError, ValueError, BadInput) as error:
            raise BadConfig("what to compare with", str(file), str(error)) from error
    return configured(sources_of(_gateway(file)), url), False


def _gateway(file: Path) -> GatewaySettings:
    """Of a whole plant.toml, or of a part of one as --write writes it: that names no site and no gateway."""
    import tomllib

    from shinkei_events.errors import BadConfig
    from shinkei_events.settings import load_plant, section, strict
    from shinkei_gateway.settings import GatewaySettings

    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(str(file), "", f"cannot be compared with: {error}") from error
    part = raw.get("gateway")
    if "site" in raw or not isinstance(part, dict):
        return section(load_plant(file, None), "gateway", GatewaySettings)
    return strict({"id": "part"} | part, GatewaySettings, "gateway")


def _changes(args: argparse.Namespace, tree: Tree, before: tuple[list[Known], bool], elsewhere: dict[str, str]) -> int:
    from shinkei_gateway.opcua.difference import COLUMNS, Known, differences
    from shinkei_gateway.opcua.listing import known
    from shinkei_gateway.opcua.proposal import propose

    was, are_paths = before
    there = {tree.text(at): node.data_type or "" for at, node in enumerate(tree.nodes)} | elsewhere
    if are_paths:
        now = known(tree)
    else:  # names as a new plant.toml would have them
        signals = [signal for source in propose(tree, {}) for signal in source.settings["signals"]]
        now = [Known(signal["node"], signal["name"], signal["data_type"]) for signal in signals]
    found = differences(was, now, there, names=are_paths)
    print_rows((change._asdict() for change in found), COLUMNS, args.format)
    return FAILED if found else DONE
