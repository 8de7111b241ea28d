"""The benchmark of many nodes: over PostgreSQL and S3, beside other registries over the same S3 server."""
