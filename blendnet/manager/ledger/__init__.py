"""The ledger: the Manager's database. Only this package knows SQL."""

from blendnet.manager.ledger.ledger import Ledger, Transaction
from blendnet.manager.ledger.rows import AgentRow, ChunkRow, FrameRow, JobRow, MemberRow, SegmentRow

__all__ = ["AgentRow", "ChunkRow", "FrameRow", "JobRow", "Ledger", "MemberRow", "SegmentRow", "Transaction"]
