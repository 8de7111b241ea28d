"""Bytes kept in memory by what names them for ever: they need no validation, only a bound."""


class Contents:
    """The least recently used bytes go first. Keys are digests or storage keys."""

    def __init__(self, max_bytes: int, *, item_max: int) -> None:
        self._room = max_bytes
        self.item_max = item_max  # bytes; longer ones are not kept
        self._kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._kept[key] = found
        return found

    def keep(self, key: str, content: bytes) -> None:
        if len(content) > self.item_max or key in self._kept:
            return
        self._kept[key] = content
        self._room -= len(content)
        while self._room < 0:
            oldest = next(iter(self._kept))
            self._room += len(self._kept.pop(oldest))
