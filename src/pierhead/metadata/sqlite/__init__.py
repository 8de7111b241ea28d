"""The embedded database: SQLite in WAL mode through apsw, shared by the worker processes of one machine."""
