"""Compare-and-swap of a tag by way of several nodes at once."""

import asyncio
from pathlib import Path

from tests.distribution.counting import counting
from tests.nodes.cluster import nodes
from tests.servers.postgresql import Cluster


def test_of_many_who_swap_at_several_nodes_one_wins_each_round_and_counts_add_up(
    postgresql: Cluster, tmp_path: Path
) -> None:
    with postgresql.database("swapping") as url, nodes(tmp_path, url, 2) as running:
        asyncio.run(counting([node.url for node in running], "team/counted"))
