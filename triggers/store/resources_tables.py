"""The table of what people declare for events; see :mod:`triggers.store.tables`."""

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field

from triggers.store.tables import Base


class ResourceRow(Base, table=True):
    """One named thing of a kind. ``facet`` is what things of its kind are looked up by, and
    ``document`` is all of it."""

    __tablename__ = "resources"
    __table_args__ = (
        UniqueConstraint("kind", "project", "region", "name"),
        Index("ix_resources_name", "kind", "name"),
        Index("ix_resources_facet", "kind", "facet"),
    )

    uid: str = Field(sa_type=Text, primary_key=True)
    kind: str = Field(sa_type=Text)
    project: str = Field(sa_type=Text)
    region: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    facet: str = Field(sa_type=Text)
    version: int
    document: str = Field(sa_type=Text)
