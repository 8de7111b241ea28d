"""The benchmark: the same work against Pierhead and other registries, in alternation, on one machine."""
