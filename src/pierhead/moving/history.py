"""What a registry held in the end, told by what happened in it (`registry/copies`). No I/O."""

from typing import Any

from pierhead.models import Digest, RepositoryName, TagName


class History:
    """Takes what happened, in its order. Manifests stay in the order in which they first came."""

    def __init__(self) -> None:
        self.manifests: dict[tuple[RepositoryName, Digest], str] = {}  # media types
        self.tags: dict[tuple[RepositoryName, TagName], Digest] = {}

    def take(self, told: dict[str, Any]) -> None:
        """Raises PierheadError, KeyError for what this program did not write."""
        repository, digest = RepositoryName.parse(told["repository"]), Digest.parse(told["digest"])
        tag = TagName.parse(told["tag"]) if "tag" in told else None
        if told["what"] == "pushed":
            self.manifests[repository, digest] = told["media_type"]
            if tag is not None:
                self.tags[repository, tag] = digest
        elif tag is not None:
            self.tags.pop((repository, tag), None)
        else:
            self.manifests.pop((repository, digest), None)
            pointing = [key for key, target in self.tags.items() if key[0] == repository and target == digest]
            for key in pointing:
                del self.tags[key]

    def tags_of(self) -> dict[tuple[RepositoryName, Digest], tuple[TagName, ...]]:
        found: dict[tuple[RepositoryName, Digest], list[TagName]] = {}
        for (repository, tag), digest in self.tags.items():
            found.setdefault((repository, digest), []).append(tag)
        return {key: tuple(tags) for key, tags in found.items()}
