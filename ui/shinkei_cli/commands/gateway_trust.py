"""``shinkei gateway trust`` and ``shinkei gateway certificate``: whom the gateway believes, and who it is itself."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from shinkei_cli.config import add_config, plant_of
from shinkei_cli.exits import DONE, FAILED
from shinkei_cli.output import add_format, print_rows, say
from shinkei_cli.part import Subparsers

if TYPE_CHECKING:
    from shinkei_events.settings import PlantFile
    from shinkei_gateway.opcua.settings import OpcuaSource

_COLUMNS = ("whose", "subject", "application_uri", "hosts", "sha1", "sha256", "valid_from", "valid_to", "state")


def register(commands: Subparsers) -> None:
    """Add `trust` and `certificate`."""
    trust = commands.add_parser(
        "trust", help="show an OPC UA server's certificate and ours, and trust it after a yes; exit 1 after a no"
    )
    trust.add_argument("where", metavar="URL|SOURCE", help="opc.tcp://host:port, or the name of a source in plant.toml")
    trust.add_argument("--yes", action="store_true", help="do not ask: trust what it shows now")
    trust.add_argument(
        "--thumbprint",
        default="",
        metavar="HEX",
        help="trust only the certificate with this SHA-1 or SHA-256; does not ask",
    )
    add_config(trust)
    add_format(trust)
    trust.set_defaults(handler=_trust)
    own = commands.add_parser(
        "certificate", help="our own certificate for OPC UA: show it, or renew it while the gateway runs"
    )
    own.add_argument("do", choices=("show", "renew"))
    add_config(own)
    add_format(own)
    own.set_defaults(handler=_certificate)


def _trust(args: argparse.Namespace) -> int:
    from shinkei_events.errors import NotConnected, RetryAfter
    from shinkei_gateway.opcua.certificate import described, is_named, utc
    from shinkei_gateway.opcua.security import security_of
    from shinkei_gateway.opcua.trusting import look

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it has to say comes as an error with its reason
    plant = plant_of(args)
    name, source = _source(args.where, plant)
    security = security_of(name, source, plant)
    own = security.pki.own(utc(time.time_ns()))
    try:
        shown = asyncio.run(look(security))
    except NotConnected as error:
        raise (error if isinstance(error, RetryAfter) else NotConnected(f"{source.url}: {error}")) from error
    rows: list[dict[str, Any]] = [
        {"whose": "server", **described(shown.certificate), "state": shown.verdict or "trusted"},
        {
            "whose": "gateway",
            **described(own.certificate),
            "state": f"for the server's administrator: {security.pki.own_file}",
        },
    ]
    if args.format == "table":
        for row in rows:
            print_rows(
                [{"what": f"{row['whose']} {key}", "value": row[key]} for key in _COLUMNS[1:]],
                ("what", "value"),
                args.format,
            )
        offers = (
            f"offers {'; '.join(shown.offers)}" if shown.offers else "was not asked: plant.toml names its certificate"
        )
        say(f"the server {offers}")
    else:
        print_rows(rows, _COLUMNS, args.format)
    if args.thumbprint and not is_named(shown.certificate, args.thumbprint):
        say("the server shows another certificate than --thumbprint: nothing was trusted", sys.stderr)
        return FAILED
    if not shown.verdict and not args.thumbprint:
        return DONE
    if not (args.yes or args.thumbprint or _asked()):
        say("nothing was trusted", sys.stderr)
        return FAILED
    say(f"trusted: {security.pki.trust(shown.certificate, security.address)}", sys.stderr)
    say(f"now let the server trust {security.pki.own_file}", sys.stderr)
    if left := asyncio.run(look(security)).verdict:
        say(f"it is trusted, and still not taken: {left}", sys.stderr)
        return FAILED
    return DONE


def _asked() -> bool:
    """Only a person at a terminal can say yes."""
    if not sys.stdin.isatty():
        say("no terminal to ask at: compare the fingerprint, then say --thumbprint or --yes", sys.stderr)
        return False
    sys.stderr.write("Is this the server's own fingerprint, and is it to be trusted? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _source(where: str, plant: PlantFile) -> tuple[str, OpcuaSource]:
    """The source meant, or one made for a URL. Raises `BadConfig`."""
    from shinkei_cli.named import opcua_source
    from shinkei_events.settings import strict
    from shinkei_gateway.opcua.settings import OpcuaSource, check_opcua

    if (found := opcua_source(plant, "URL|SOURCE", where)) is not None:
        return found
    made = strict({"type": "opcua", "url": where, "machine": "trust", "timeout": "10s"}, OpcuaSource, "trust")
    check_opcua(made, "trust")
    return where, made


def _certificate(args: argparse.Namespace) -> int:
    from shinkei_gateway.opcua.certificate import described, utc
    from shinkei_gateway.opcua.pki import pki_of

    pki, now = pki_of(plant_of(args)), utc(time.time_ns())
    own = pki.renew(now) if args.do == "renew" else pki.own(now)
    rows = [{"whose": "gateway", **described(own.certificate), "state": str(pki.own_file)}]
    if (before := pki.previous(now)) is not None:
        rows.append(
            {"whose": "gateway, before", **described(before.certificate), "state": "used where the new one is refused"}
        )
    print_rows(rows, _COLUMNS, args.format)
    if args.do == "renew":
        say(f"now let the servers trust {pki.own_file}; until then they are reached with the one before", sys.stderr)
    return DONE
