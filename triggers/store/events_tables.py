"""The table of events that came in; see :mod:`triggers.store.tables`."""

from sqlalchemy import Column, Double, Text
from sqlmodel import Field

from triggers.store.tables import _POSITION, Base


class EventRow(Base, table=True):
    """One event. ``position`` is the order in which they came, ``document`` is all of it and what
    it led to; the rest is what is looked for."""

    __tablename__ = "event_log"

    position: int = Field(sa_column=Column(_POSITION, primary_key=True, autoincrement=True))
    at: float = Field(sa_type=Double)
    project: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    channel: str = Field(sa_type=Text)
    type: str = Field(sa_type=Text)
    document: str = Field(sa_type=Text)
