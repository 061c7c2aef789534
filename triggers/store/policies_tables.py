"""The table of IAM policies; see :mod:`triggers.store.tables`."""

from sqlalchemy import Integer, Text
from sqlmodel import Field

from triggers.store.tables import Base


class PolicyRow(Base, table=True):
    """``owner`` is the uid of what it belongs to. jobrunner keeps those of jobs in a table of its
    own."""

    __tablename__ = "resource_policies"

    owner: str = Field(sa_type=Text, primary_key=True)
    document: str = Field(sa_type=Text)
    etag: str = Field(sa_type=Text)
    version: int = Field(sa_type=Integer)
