"""Which revisions of the schema this version knows, oldest first.

Kept here as plain text because reading the migrations would import alembic at every start.
"""

REVISIONS = ("0001", "0002")
HEAD = REVISIONS[-1]
