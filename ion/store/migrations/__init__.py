"""The history of the schema. `HEAD` is the newest revision: a database that is there needs no Alembic at start."""

HEAD = "0012"
