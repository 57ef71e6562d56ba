"""What a machine does: PackML states with ISO 22400 reasons, setup changes, energy counters."""

from __future__ import annotations

from typing import Literal

from shinkei_events.model.numbered import Numbered

State = Literal[
    "EXECUTE", "IDLE", "STARTING", "COMPLETING", "COMPLETE", "RESETTING", "HOLDING", "HELD", "UNHOLDING", "SUSPENDING", "SUSPENDED",
    "UNSUSPENDING", "STOPPING", "STOPPED", "ABORTING", "ABORTED", "CLEARING", "NO_DATA",
]  # fmt: skip
"""PackML states (OPC 30050, ISA-TR88.00.02) and ours: NO_DATA, which is not idle."""


class MachineStateChanged(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """From ``time`` on the machine is in ``state``. ``code``: the plant's own code it was mapped from.

    ``reason``: id of a reason in the master data (e.g. ``STARVED``, ``tool_change``); ``by``: ``machine`` or ``gateway`` (NO_DATA).
    """

    state: State
    reason: str | None = None
    code: str | None = None
    product: str | None = None
    recipe: str | None = None
    tool: str | None = None
    by: Literal["machine", "gateway"] = "machine"


class SetupChanged(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """Something was mounted on or unmounted from a slot: tool, program, material reel, fixture, operator group.

    ``certainty`` below 1: it is not known exactly when, or which of several, the change was; both candidates are kept.
    """

    slot: str
    unit: str
    unit_type: Literal["tool", "program", "material", "fixture", "operator_group"]
    action: Literal["mounted", "unmounted"]
    item: str | None = None
    certainty: float = 1.0
    not_before: int | None = None
    not_after: int | None = None


class EnergyCounted(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """A counter stands at ``value`` (e.g. electricity in kWh); counters only grow, a step back is a reset."""

    medium: Literal["electricity", "compressed_air", "gas", "water", "heat"]
    value: float
    unit: str
