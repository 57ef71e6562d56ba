"""Under what a machine works, as far as it changes what is normal: one set of models per key, kept, copied and forgotten here."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from shinkei_detect.model import ContextModel
from shinkei_events.model.frame import Context


class ContextKey(NamedTuple):
    """What models are kept by; the machine is the owner's. ``state`` None: unknown, a key of its own."""

    product: str | None
    tool: str | None
    state: str | None


def key_of(context: Context, running: tuple[str, ...]) -> ContextKey | None:
    """The key of readings under ``context``, or None when the machine does not run (PackML state known and not in ``running``).

    >>> key_of(Context(state="EXECUTE", product="P1", tool="T9"), ("EXECUTE",))
    ContextKey(product='P1', tool='T9', state='EXECUTE')
    >>> key_of(Context(state="NO_DATA"), ("EXECUTE",)) is None
    True
    """
    if context.state is not None and context.state not in running:
        return None
    return ContextKey(context.product, context.tool, context.state)


class Shelf:
    """The models of one machine by context, at most ``most``; the one used longest ago is forgotten. Pickles whole."""

    def __init__(self, make: Callable[[], ContextModel], most: int) -> None:
        self._models: OrderedDict[ContextKey, ContextModel] = OrderedDict()
        self._make, self._most = make, most

    def take(self, key: ContextKey) -> ContextModel:
        """The model of ``key``: the one it had, or a warm-up copy of the most alike (same product, else the last used), or a new one."""
        model = self._models.get(key)
        if model is None:
            like = self._alike(key)
            model = self._make() if like is None else copy.deepcopy(like)
            if like is not None:
                model.rest()
            self._models[key] = model
            while len(self._models) > self._most:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return model

    def known(self) -> list[ContextKey]:
        """Keys from the one used longest ago to the present one."""
        return list(self._models)

    def _alike(self, key: ContextKey) -> ContextModel | None:
        recent = list(reversed(self._models.items()))
        for known, model in recent:
            if known.product == key.product:
                return model
        return recent[0][1] if recent else None
