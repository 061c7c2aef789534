"""The tables of queues and gates; see :mod:`triggers.store.tables`."""

from sqlalchemy import Double, Index, Text, UniqueConstraint
from sqlmodel import Field

from triggers.store.tables import Base, _where


class QueueRow(Base, table=True):
    """``settings`` holds the value but for its name."""

    __tablename__ = "queues"
    __table_args__ = (UniqueConstraint("project", "region", "name"),)

    uid: str = Field(sa_type=Text, primary_key=True)
    project: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    settings: str = Field(sa_type=Text)


class GateRow(Base, table=True):
    """How fast a lane may go. ``tokens`` there were at ``at``; ``share`` of the rate is in force.
    Nothing of the lane can go before ``due_at``; without one, before something else happens."""

    __tablename__ = "gates"
    __table_args__ = (
        Index("ix_gates_due", "due_at", "lane", **_where("is_open AND due_at IS NOT NULL")),
        # Found by their key only, so on SQLite they live in its tree.
        {"sqlite_with_rowid": False},
    )

    lane: str = Field(sa_type=Text, primary_key=True)
    is_open: bool
    per_second: float = Field(sa_type=Double)
    burst: int
    concurrent: int
    tokens: float = Field(sa_type=Double)
    at: float = Field(sa_type=Double)
    share: float = Field(sa_type=Double)
    due_at: float | None = Field(sa_type=Double)
    override: str | None = Field(sa_type=Text)
