"""What can be asked of the lineage. Every answer takes ``as_of`` and says which gaps it crosses; nothing here writes."""

from shinkei_trace.query.answer import Answer, GapCrossed, Link, Node, Step
from shinkei_trace.query.find import UnitFound, as_of_number, nearest, resolve
from shinkei_trace.query.goods import finished_goods
from shinkei_trace.query.history import history
from shinkei_trace.query.lineage import backward, forward

__all__ = [
    "Answer", "GapCrossed", "Link", "Node", "Step", "UnitFound", "as_of_number", "backward", "finished_goods", "forward", "history", "nearest", "resolve",
]  # fmt: skip
