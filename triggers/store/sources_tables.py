"""The tables of sources that look for news themselves; see :mod:`triggers.store.tables`."""

from sqlalchemy import BigInteger, Column, Double, Text
from sqlmodel import Field

from triggers.store.tables import Base


class CursorRow(Base, table=True):
    """How far the reader of that name has come in its feed."""

    __tablename__ = "cursors"

    name: str = Field(sa_type=Text, primary_key=True)
    position: int = Field(sa_column=Column(BigInteger, nullable=False))


class BucketObjectRow(Base, table=True):
    """A file of a directory that stands for a bucket, as it was when it was last told of.
    ``bucket`` is the uid. ``inode``, ``size``, ``mtime`` (nanoseconds) and ``mode`` tell whether it
    is still the same; ``md5`` is in base64, empty if nobody has read it."""

    __tablename__ = "bucket_objects"

    bucket: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(sa_type=Text, primary_key=True)
    generation: int = Field(sa_column=Column(BigInteger, nullable=False))
    metageneration: int = Field(sa_column=Column(BigInteger, nullable=False))
    inode: str = Field(sa_type=Text)
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    mtime: int = Field(sa_column=Column(BigInteger, nullable=False))
    mode: int = Field(sa_column=Column(BigInteger, nullable=False))
    md5: str = Field(sa_type=Text)
    updated: float = Field(sa_type=Double)
