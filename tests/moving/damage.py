"""What a disk may do to a registry."""

from pathlib import Path


def a_blob(data: Path) -> tuple[Path, str]:
    """A file of finished bytes, and their digest."""
    file = max(data.glob("blobs/sha256/*/*"), key=lambda path: path.stat().st_size)
    return file, f"sha256:{file.name.partition('.')[0]}"


def flip(file: Path) -> None:
    """Changes a bit; done twice, nothing."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def files(data: Path) -> dict[str, Path]:
    """The files of finished bytes, by their digests."""
    found = sorted(data.glob("blobs/*/*/*"))
    return {f"{path.parts[-3]}:{path.name.partition('.')[0]}": path for path in found}
