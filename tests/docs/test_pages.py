"""The pages themselves: short, whole, and as the program is now."""

import re
from pathlib import Path

import pytest

from tests.docs import generated, pages

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINKING = [*pages.PAGES, *(pages.ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"))]


def test_the_readme_is_short() -> None:
    assert len((pages.ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("page", LINKING, ids=pages.name)
def test_its_relative_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(_CODE.sub("", page.read_text())) if "://" not in link]

    assert [link for link in links if not _exists(page, link)] == []


def _exists(page: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not heading or heading in _anchors(target))


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(_CODE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_is_on_the_map() -> None:
    documentation = pages.ROOT / "docs"
    linked = {
        (documentation / link.partition("#")[0]).resolve()
        for link in _LINK.findall((documentation / "README.md").read_text())
    }
    expected = set(documentation.glob("*.md")) | {
        page for folder in ("how-to", "reference", "explanation") for page in (documentation / folder).glob("*.md")
    }

    assert sorted(expected - linked - {documentation / "README.md"}) == []


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_what_is_generated_is_current(page: Path) -> None:
    text = page.read_text()

    assert text == generated.renewed(text), "python -m tests.docs.generated writes it anew"


def test_every_part_is_on_a_page() -> None:
    assert {name for page in pages.PAGES for name in generated.names(page)} == set(generated.PARTS)
