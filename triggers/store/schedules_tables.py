"""The tables of schedules and their occurrences; see :mod:`triggers.store.tables`."""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Text, UniqueConstraint
from sqlmodel import Field

from triggers.store.tables import Base, _where


class ScheduleRow(Base, table=True):
    """``settings`` holds what nobody asks for by itself."""

    __tablename__ = "schedules"
    __table_args__ = (UniqueConstraint("project", "region", "name"),)

    uid: str = Field(sa_type=Text, primary_key=True)
    project: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    target: str = Field(sa_type=Text)
    retry: str = Field(sa_type=Text)
    settings: str = Field(sa_type=Text)


class ScheduleClockRow(Base, table=True):
    """Where a schedule stands: ``last`` is the last nominal instant that was dealt with,
    ``next_at`` when the next one is to be opened, delays included. Apart from the schedule, because
    it changes with each occurrence: many lie on one page. Each schedule has one, and whoever
    decides about the schedule locks it first."""

    __tablename__ = "schedule_clocks"
    __table_args__ = (
        Index("ix_schedule_clocks_next", "next_at", "uid", **_where("next_at IS NOT NULL")),
        # Found by their key only, so on SQLite they live in its tree.
        {"sqlite_with_rowid": False},
    )

    uid: str = Field(
        sa_column=Column(Text, ForeignKey("schedules.uid", ondelete="CASCADE"), primary_key=True)
    )
    last: float = Field(sa_type=Double)
    next_at: float | None = Field(sa_type=Double)


class OccurrenceRow(Base, table=True):
    """Its key is what makes it one of a kind; ``backfill`` is empty for what the clock brings."""

    __tablename__ = "occurrences"
    __table_args__ = (
        Index("ix_occurrences_open", "state", "schedule", "nominal", **_where("state = 'OPEN'")),
        Index(
            "ix_occurrences_waiting", "state", "schedule", "nominal", **_where("state = 'WAITING'")
        ),
        Index("ix_occurrences_settled", "settled_at", **_where("settled_at IS NOT NULL")),
        # Found by their key only, so on SQLite they live in its tree.
        {"sqlite_with_rowid": False},
    )

    schedule: str = Field(
        sa_column=Column(Text, ForeignKey("schedules.uid", ondelete="CASCADE"), primary_key=True)
    )
    nominal: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    backfill: str = Field(sa_type=Text, primary_key=True)
    due_at: float = Field(sa_type=Double)
    state: str = Field(sa_type=Text)
    origin: str = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)
    delivery: str | None = Field(sa_type=Text)
    created_at: float = Field(sa_type=Double)
    opened_at: float | None = Field(sa_type=Double)
    settled_at: float | None = Field(sa_type=Double)
