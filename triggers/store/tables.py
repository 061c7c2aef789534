"""The tables, as SQLModel classes: the one source of the schema.

Migrations are checked against them. At run time nobody imports this file: statements go to the
driver directly. Instants are Unix seconds in double precision, documents are JSON text.
"""

from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    false,
    text,
)
from sqlmodel import Field, SQLModel

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
"""Every constraint has a name, so that a later migration can speak of it."""


class Base(SQLModel):
    """Keeps our tables apart from those of other packages in one process."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMES)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# Only what can go is looked at when something is to go, however much waits, runs or is kept.
_READY = _where("state = 'PENDING' AND NOT waits AND NOT gated")
_GATED = _where("state = 'PENDING' AND NOT waits AND gated")
_POSITION = BigInteger().with_variant(Integer(), "sqlite")


class DeliveryRow(Base, table=True):
    """``position`` is the order of opening. ``lane`` is the source, ``place`` what is called.
    ``waits`` says that an earlier delivery of the same lane and order key has not settled,
    ``gated`` that the gate of its lane decides when it goes."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_uid", "uid", unique=True),
        Index("ix_deliveries_lane_key", "lane", "key", unique=True),
        Index("ix_deliveries_parent", "parent", unique=True, **_where("parent IS NOT NULL")),
        Index("ix_deliveries_due", "not_before", "position", **_READY),
        Index("ix_deliveries_lane_due", "lane", "place", "not_before", "position", **_READY),
        Index("ix_deliveries_gated_due", "lane", "not_before", "position", **_GATED),
        Index("ix_deliveries_gated_lane_due", "lane", "place", "not_before", "position", **_GATED),
        Index(
            "ix_deliveries_tasks",
            "lane",
            "position",
            **_where("source = 'queue' AND settled_at IS NULL"),
        ),
        Index(
            "ix_deliveries_under_way",
            "lane",
            **_where("source = 'queue' AND (state = 'SENDING' OR state = 'FOLLOWING')"),
        ),
        Index(
            "ix_deliveries_order",
            "lane",
            "order_key",
            "position",
            **_where("order_key IS NOT NULL AND settled_at IS NULL"),
        ),
        Index("ix_deliveries_lease", "lease_until", **_where("state = 'SENDING'")),
        Index("ix_deliveries_following", "position", **_where("state = 'FOLLOWING'")),
        Index("ix_deliveries_dead", "position", **_where("state = 'DEAD'")),
        Index("ix_deliveries_settled", "settled_at", **_where("settled_at IS NOT NULL")),
        Index(
            "ix_deliveries_ages",
            "ages_out_at",
            **_where("state = 'PENDING' AND ages_out_at IS NOT NULL"),
        ),
    )

    position: int = Field(sa_column=Column(_POSITION, primary_key=True, autoincrement=True))
    uid: str = Field(sa_type=Text)
    project: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    source_name: str = Field(sa_type=Text)
    lane: str = Field(sa_type=Text)
    place: str = Field(sa_type=Text)
    key: str = Field(sa_type=Text)
    target: str = Field(sa_type=Text)
    retry: str = Field(sa_type=Text)
    payload: str | None = Field(sa_type=Text)
    order_key: str | None = Field(sa_type=Text)
    waits: bool
    state: str = Field(sa_type=Text)
    created_at: float = Field(sa_type=Double)
    queued_at: float = Field(sa_type=Double)
    not_before: float = Field(sa_type=Double)
    first_attempt_at: float | None = Field(sa_type=Double)
    last_attempt_at: float | None = Field(sa_type=Double)
    attempts: int
    responses: int
    unknown: int
    last_status: int | None
    lease_owner: str | None = Field(sa_type=Text)
    lease_until: float | None = Field(sa_type=Double)
    run_try: int
    execution: str | None = Field(sa_type=Text)
    parent: str | None = Field(sa_type=Text)
    hops: int
    reason: str = Field(sa_type=Text)
    settled_at: float | None = Field(sa_type=Double)
    ages_out_at: float | None = Field(sa_type=Double)
    gated: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))
    forced: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))


class AttemptRow(Base, table=True):
    """One call that ended, or whose end is unknown for good; what is on the wire stands in its
    delivery."""

    __tablename__ = "delivery_attempts"
    # Found by their key only, so on SQLite they live in its tree.
    __table_args__ = ({"sqlite_with_rowid": False},)

    delivery: str = Field(
        sa_column=Column(Text, ForeignKey("deliveries.uid", ondelete="CASCADE"), primary_key=True)
    )
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    started_at: float = Field(sa_type=Double)
    scheduled_at: float = Field(sa_type=Double)
    ended_at: float | None = Field(sa_type=Double)
    status: int | None
    ruling: str | None = Field(sa_type=Text)
    excerpt: bytes = Field(sa_type=LargeBinary)
    error: str = Field(sa_type=Text)
    execution: str | None = Field(sa_type=Text)
    retry_at: float | None = Field(sa_type=Double)
    broken: str | None = Field(sa_type=Text)
