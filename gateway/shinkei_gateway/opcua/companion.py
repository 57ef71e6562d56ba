"""What companion specifications say about an address space: which objects are machines, who made them, which node is their state. Pure.

Knows OPC 40001-1 (Machinery: the `Machines` folder, Identification, MachineryItemState, MachineryOperationMode), OPC 30050 (PackML: Admin,
Status, BaseStateMachine) and, where a server follows neither, names. Browse names decide, in the namespaces the specifications give.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from shinkei_events.model.machine import State
from shinkei_gateway.opcua.tree import UA, Tree
from shinkei_gateway.state import STATES

MACHINERY, PACKML = f"{UA}Machinery/", f"{UA}PackML/"
MACHINERY_STATES: dict[str, State] = {
    "Executing": "EXECUTE", "NotExecuting": "IDLE", "OutOfService": "STOPPED", "NotAvailable": "NO_DATA",
}  # fmt: skip
"""States of OPC 40001-1 §12.1 in PackML's words."""
PACKML_NUMBERS: dict[str, State] = {
    "1": "CLEARING", "2": "STOPPED", "3": "STARTING", "4": "IDLE", "5": "SUSPENDED", "6": "EXECUTE", "7": "STOPPING", "8": "ABORTING",
    "9": "ABORTED", "10": "HOLDING", "11": "HELD", "12": "UNHOLDING", "13": "SUSPENDING", "14": "UNSUSPENDING", "15": "RESETTING",
    "16": "COMPLETING", "17": "COMPLETE",
}  # fmt: skip
"""State numbers of ISA-TR88.00.02 (PackTags Status.StateCurrent)."""
PACKML_NAMES: dict[str, State] = {"Completed": "COMPLETE", "Running": "EXECUTE", "Cleared": "STOPPED"}
"""State names of OPC 30050 that are not PackML's own; the others are the same words."""
_INNER = "while the machine is outside this inner state machine the node is inactive, which is told as NO_DATA"
_STATE_NAMES = ("State", "MachineState", "CurrentState")


class StateNode(NamedTuple):
    """``map`` as a source's state has it; ``note``: what the operator should know."""

    place: int
    map: dict[str, State]
    by: str
    note: str = ""


class Machine(NamedTuple):
    """An object that is a machine; ``about``: what its nameplate says; ``inside``: places that are no signals."""

    place: int
    name: str
    by: Literal["OPC 40001-1", "OPC 30050", "folder"]
    about: dict[str, str]
    state: StateNode | None
    mode: int | None
    inside: frozenset[int]


def machines(tree: Tree) -> list[Machine]:
    """The machines of a server, semantics first; one machine for everything when no specification says otherwise."""
    found: list[Machine] = []
    taken: set[int] = set()
    for node in tree.nodes:
        if node.name == "Machines" and node.uri == MACHINERY:
            for child in node.children:
                if tree.nodes[child].kind == "object" and child not in taken:
                    taken |= set(tree.below(child))
                    found.append(_machine(tree, child, "OPC 40001-1"))
    for place in range(len(tree.nodes)):
        if place not in taken and _is_packml(tree, place):
            taken |= set(tree.below(place))
            found.append(_machine(tree, place, "OPC 30050"))
    return found or [_machine(tree, _only(tree), "folder")] if tree.nodes else []


def _is_packml(tree: Tree, place: int) -> bool:
    machine = tree.child(place, "BaseStateMachine")
    return machine is not None and tree.nodes[machine].uri == PACKML and tree.child(place, "Status") is not None


def _only(tree: Tree) -> int:
    """The one object below the start, where it has only one: it names the machine better than "Objects"."""
    objects = [at for at in tree.nodes[0].children if tree.nodes[at].kind == "object" and tree.nodes[at].uri]
    variables = any(tree.nodes[at].kind == "variable" for at in tree.nodes[0].children)
    return objects[0] if len(objects) == 1 and not variables else 0


def _machine(tree: Tree, place: int, by: Literal["OPC 40001-1", "OPC 30050", "folder"]) -> Machine:
    inside: set[int] = set()
    about: dict[str, str] = {}
    mode = None
    for at in tree.below(place):
        node = tree.nodes[at]
        if node.kind == "object" and node.name == "Identification":
            about |= {tree.nodes[c].name: v for c in node.children if (v := tree.nodes[c].value)}
            inside |= set(tree.below(at))
        elif node.kind == "object" and tree.child(at, "CurrentState") is not None:
            inside |= set(tree.below(at))
            if node.name in ("MachineryOperationMode", "OperationMode"):
                mode = tree.child(at, "CurrentState")
    return Machine(place, tree.nodes[place].name, by, about, _state(tree, place), mode, frozenset(inside))


# ---- the state -------------------------------------------------------------------------------------------------------------
def _state(tree: Tree, place: int) -> StateNode | None:
    below = list(tree.below(place))
    return _packml_tag(tree, below) or _packml_machine(tree, below) or _machinery(tree, below) or _named(tree, below)


def _packml_tag(tree: Tree, below: list[int]) -> StateNode | None:
    for at in below:
        node = tree.nodes[at]
        if node.kind == "variable" and node.name in ("StateCurrent", "StateCurrentInt"):
            return StateNode(at, PACKML_NUMBERS, "PackML Status.StateCurrent")
    return None


def _packml_machine(tree: Tree, below: list[int]) -> StateNode | None:
    """The innermost state machine says most, but is inactive while the machine is in another branch."""
    for name, note in (("ExecuteState", _INNER), ("MachineState", _INNER), ("BaseStateMachine", "")):
        for at in below:
            node = tree.nodes[at]
            if node.name == name and node.uri == PACKML and (current := tree.child(at, "CurrentState")) is not None:
                return StateNode(current, PACKML_NAMES, f"PackML {name}", note)
    return None


def _machinery(tree: Tree, below: list[int]) -> StateNode | None:
    for at in below:
        if tree.nodes[at].name == "MachineryItemState" and (current := tree.child(at, "CurrentState")) is not None:
            return StateNode(current, MACHINERY_STATES, "OPC 40001-1 MachineryItemState")
    return None


def _named(tree: Tree, below: list[int]) -> StateNode | None:
    """A variable that is called a state and holds a PackML state now."""
    for at in below:
        node = tree.nodes[at]
        if node.kind == "variable" and node.name in _STATE_NAMES and (node.value or "").upper() in STATES:
            return StateNode(at, {}, "its value is a PackML state")
    return None
