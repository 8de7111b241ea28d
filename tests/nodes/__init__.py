"""Several servers on one database, each with processes and a data directory of its own."""
