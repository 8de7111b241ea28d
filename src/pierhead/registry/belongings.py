"""What goes with a manifest when it is deleted: what nobody wants for its own sake.

- The manifests of an index that no tag names and that no other index of the repository lists.
- The referrers of what goes, unless a tag names them or another manifest lists them.
- What tags of the cosign kind name (`sha256-<hex>.sig`, `.att`, `.sbom`) and the fallback tag of referrers.

What is pinned never goes along.
"""

from collections import deque
from dataclasses import dataclass, field

from pierhead.metadata import manifests, pins, tags
from pierhead.metadata.database import Transaction
from pierhead.metadata.manifests import Held
from pierhead.models import Digest, TagName
from pierhead.registry.referrers import fallback_tag

_SUFFIXES = ("", ".sig", ".att", ".sbom")


def attached_tags(digest: Digest) -> list[TagName]:
    """The tags under which clients keep what belongs to a manifest, where they cannot say so in any other way."""
    return [TagName(f"{fallback_tag(digest)}{suffix}") for suffix in _SUFFIXES]


@dataclass(slots=True)
class Going:
    """What is deleted together: manifests, and the tags that point to them."""

    manifests: dict[int, Held] = field(default_factory=dict)
    tags: list[tuple[TagName, Held]] = field(default_factory=list)


async def of(tx: Transaction, repository_id: int, root: Held) -> Going:
    """The manifest itself and all that goes with it. Its repository is locked."""
    return await _Gathering(tx, repository_id).gather(root)


class _Gathering:
    def __init__(self, tx: Transaction, repository_id: int) -> None:
        self._tx = tx
        self._repository_id = repository_id
        self._going = Going()
        self._names: set[TagName] = set()  # under which something belongs to what goes
        self._open: deque[Held] = deque()

    async def gather(self, root: Held) -> Going:
        await self._take(root)
        while self._open:
            manifest = self._open.popleft()
            # Who is wanted now by something that goes later is asked again then.
            for candidate in await self._belonging(manifest):
                if candidate.id not in self._going.manifests and not await self._is_wanted(candidate):
                    await self._take(candidate)
        return self._going

    async def _take(self, manifest: Held) -> None:
        self._going.manifests[manifest.id] = manifest
        self._going.tags += [(tag, manifest) for tag in await tags.of_manifest(self._tx, manifest.id)]
        self._names.update(attached_tags(manifest.digest))
        self._open.append(manifest)

    async def _belonging(self, manifest: Held) -> list[Held]:
        tx, repository_id = self._tx, self._repository_id
        found = await manifests.children(tx, manifest.id)
        found += await manifests.referrers(tx, repository_id, manifest.digest)
        for name in attached_tags(manifest.digest):
            digest = await tags.target(tx, repository_id, name)
            attached = await manifests.find(tx, repository_id, digest) if digest else None
            found += [attached] if attached else []
        return [one for one in found if one.live]

    async def _is_wanted(self, candidate: Held) -> bool:
        """By a tag of its own, by a manifest that stays, or by a pin."""
        names = await tags.of_manifest(self._tx, candidate.id)
        if any(name not in self._names for name in names):
            return True
        listing = await manifests.parents(self._tx, self._repository_id, candidate.digest)
        if any(parent.live and parent.id not in self._going.manifests for parent in listing):
            return True
        return await pins.of_manifest(self._tx, self._repository_id, candidate.id, candidate.digest) is not None
