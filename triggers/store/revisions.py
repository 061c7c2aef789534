"""Which revisions of our schema this version knows, oldest first, and where a database says which
it has. Plain text: reading the migrations would import alembic at every start."""

VERSION_TABLE = "triggers_version"
REVISIONS = ("0001", "0002", "0003", "0006", "0007", "0008", "0009", "0010", "0011")
HEAD = REVISIONS[-1]
