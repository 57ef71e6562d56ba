"""MQTT's reason codes in words: CONNACK of 3.1.1 (3.2.2.3) and every code of MQTT 5 (2.4). Pure."""

from __future__ import annotations

_REFUSED_3 = {
    1: "unacceptable protocol version",
    2: "it does not accept the client_id",
    3: "it is not available now",
    4: "user name or password is wrong",
    5: "not authorized",
}
_REASONS_5 = {
    0x00: "success", 0x01: "granted QoS 1", 0x02: "granted QoS 2", 0x04: "disconnect with will message", 0x10: "no matching subscribers",
    0x11: "no subscription existed", 0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error",
    0x83: "implementation specific error", 0x84: "unsupported protocol version: try protocol = \"3.1.1\"", 0x85: "client_id not valid",
    0x86: "user name or password is wrong", 0x87: "not authorized", 0x88: "server unavailable", 0x89: "server busy", 0x8A: "banned",
    0x8B: "server shutting down", 0x8C: "bad authentication method", 0x8D: "keep alive timeout",
    0x8E: "session taken over: another client uses this client_id", 0x8F: "topic filter invalid", 0x90: "topic name invalid",
    0x91: "packet identifier in use", 0x92: "packet identifier not found", 0x93: "receive maximum exceeded", 0x94: "topic alias invalid",
    0x95: "packet too large", 0x96: "message rate too high", 0x97: "quota exceeded", 0x98: "administrative action",
    0x99: "payload format invalid", 0x9A: "retain not supported", 0x9B: "QoS not supported", 0x9C: "use another server",
    0x9D: "server moved", 0x9E: "shared subscriptions not supported", 0x9F: "connection rate exceeded", 0xA0: "maximum connect time",
    0xA1: "subscription identifiers not supported", 0xA2: "wildcard subscriptions not supported",
}  # fmt: skip
FAILURE = 0x80
"""Reason codes from here on are failures (MQTT 5, 2.4)."""


def refused(code: int, *, is_5: bool) -> str:
    """Why a CONNACK with ``code`` says no. A broker that knows no MQTT 5 answers in the codes of 3.1.1 (its 3.1.2-2)."""
    if is_5 and code >= FAILURE:
        return reason(code)
    hint = ': set protocol = "3.1.1"' if is_5 else ': set protocol = "5"'
    return _REFUSED_3.get(code, f"return code {code}") + (hint if code == 1 else "")


def reason(code: int, said: str = "", server: str = "") -> str:
    """A reason code of MQTT 5 with what the broker itself ``said``, and the ``server`` it names instead of itself (4.11)."""
    words = _REASONS_5.get(code, "unknown reason")
    elsewhere = f": it names {server[:200]}; if that is right, set url" if server else ""
    return f"{words} (0x{code:02X})" + (f": {said}" if said else "") + elsewhere


def ended(codes: bytes, said: str = "", server: str = "") -> str:
    """What a DISCONNECT of the broker says (3.14); without a reason it says no more than its end does."""
    why = "the broker closed the connection"
    return f"{why}: {reason(codes[0], said, server)}" if codes and codes[0] else why
