"""The ledger: the Manager's database. Only this package knows SQL."""

from blendnet.manager.ledger.ledger import Ledger, Transaction
from blendnet.manager.ledger.rows import (
    AgentRow,
    ChunkRow,
    FrameRow,
    InstanceRow,
    JobRow,
    MeasureRow,
    MemberRow,
    PlaceRow,
    SegmentRow,
)

__all__ = [
    "AgentRow",
    "ChunkRow",
    "FrameRow",
    "InstanceRow",
    "JobRow",
    "Ledger",
    "MeasureRow",
    "MemberRow",
    "PlaceRow",
    "SegmentRow",
    "Transaction",
]
