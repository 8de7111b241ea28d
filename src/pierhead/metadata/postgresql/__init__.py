"""The database that nodes share: PostgreSQL through asyncpg."""
