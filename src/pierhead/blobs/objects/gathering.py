"""Frames on their way into a part: cut where the part ends, never joined."""

from collections import deque

Frame = bytes | bytearray

# Frames smaller than this are joined, so that a body of single bytes does not become a million objects.
_JOINED = 16 * 1024


class Gathering:
    def __init__(self) -> None:
        self.size = 0  # bytes
        self._frames: deque[Frame] = deque()
        self._little = bytearray()

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if len(data) < _JOINED:
            self._little += data
        if len(data) >= _JOINED or len(self._little) >= _JOINED:
            self._close_little()
        if len(data) >= _JOINED:
            self._frames.append(data)

    def cut(self, size: int) -> list[Frame]:
        """Takes the first bytes out."""
        self._close_little()
        self.size -= size
        taken: list[Frame] = []
        while size:
            frame = self._frames.popleft()
            if len(frame) > size:
                self._frames.appendleft(frame[size:])
                frame = frame[:size]
            taken.append(frame)
            size -= len(frame)
        return taken

    def whole(self) -> bytes:
        """All of it, which stays."""
        self._close_little()
        content = b"".join(self._frames)
        self._frames = deque([content] if content else [])
        return content

    def _close_little(self) -> None:
        if self._little:
            self._frames.append(self._little)
            self._little = bytearray()
