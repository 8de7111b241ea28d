"""The parts of the documentation that are written from the program: `python -m tests.docs.generated` writes them.

A part stands between `<!-- generated: NAME -->` and `<!-- /generated -->`.
"""

import re
from collections.abc import Callable
from pathlib import Path

from pydantic.fields import FieldInfo

from pierhead import errors
from pierhead.cli.flags import FLAGS, SWITCHES
from pierhead.configuration import PREFIX, allowed, sections_by_name, tables_by_name
from pierhead.distribution.errors import OCI_ERRORS, oci_error
from pierhead.observability.instruments import Counter, Histogram, Instrument
from pierhead.observability.metrics import Metrics
from pierhead.setting_kinds import GIB, KIB, MIB, Section
from pierhead.verbs import ACTIONS, ROLES, Verb
from tests.docs.pages import PAGES

_PART = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def settings() -> str:
    sections = [_section(f"[{name}]", name, model) for name, model in sections_by_name().items()]
    return "\n".join(sections + [_section(f"[[{name}]]", name, model) for name, model in tables_by_name().items()])


def _section(heading: str, name: str, model: type[Section]) -> str:
    rows = [_setting(name, key, info) for key, info in model.model_fields.items()]
    head = f"## {heading}\n\n{model.__doc__}\n\n| setting | default | takes | meaning |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def _setting(section: str, name: str, info: FieldInfo) -> str:
    takes = allowed(info).replace(",", ", ").replace(",  ", ", ")
    flag = next((flag for flag, (at, key, *_) in {**FLAGS, **SWITCHES}.items() if (at, key) == (section, name)), "")
    meaning = (
        ("Must be given. " if info.is_required() else "")
        + (info.description or "")
        + (f" Flag `{flag}`." if flag else "")
    )
    has_default = not info.is_required() and info.default not in (None, (), {})
    return _row(f"`{name}`", f"`{_default(name, info.default)}`" if has_default else "", takes, meaning)


def _default(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value and (name.endswith("_bytes") or name in {"max_size", "chunk_min_length"}):
        for unit, text in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
            if value % unit == 0:
                return f"{value // unit}{text}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def metrics() -> str:
    rows = [_metric(instrument) for instrument in Metrics().instruments()]
    return "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"


def _metric(instrument: Instrument) -> str:
    kind = "counter" if isinstance(instrument, Counter) else "gauge"
    if isinstance(instrument, Histogram):
        kind = "histogram"
    shown = f"{instrument.name}_total" if kind == "counter" else instrument.name
    return _row(f"`{shown}`", kind, ", ".join(f"`{label}`" for label in instrument.labels), instrument.description)


def refusals() -> str:
    never = (errors.ConfigurationError, errors.DirectoryDoubtful, errors.ForwardFailed, errors.MoveFailed)
    classes = [kind for kind in _tree(errors.PierheadError) if kind not in never]
    rows = {(status, code, kind.__doc__ or "") for kind in classes for code, status in [oci_error(kind.__new__(kind))]}
    lines = [_row(str(status), f"`{code}`", _unexpected(text)) for status, code, text in sorted(rows)]
    assert len(rows) >= len(OCI_ERRORS)
    return "| status | code | message |\n| --- | --- | --- |\n" + "\n".join(lines) + "\n"


def _unexpected(text: str) -> str:
    if text != errors.PierheadError.__doc__:
        return text
    return f"{text} (something unexpected; the detail is the request's id, and the log has the rest)"


def _tree(kind: type[errors.PierheadError]) -> list[type[errors.PierheadError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _tree(child))]


def variables() -> str:
    """How a setting's variable is called, on one example of each section."""
    names = [(section, next(iter(model.model_fields))) for section, model in sections_by_name().items()]
    rows = [_row(f"`{section}.{name}`", f"`{PREFIX}{section}_{name}`".upper()) for section, name in names]
    for kind, model in tables_by_name().items():
        _, name, *_ = model.model_fields
        rows.append(_row(f"`{name}` of the `[[{kind}]]` named `corp`", f"`{PREFIX}{kind}_corp_{name}`".upper()))
    return "| setting | variable |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def verbs() -> str:
    names = list(ROLES)
    lines = [
        _row(f"`{verb}`", verb.about, "system" if verb.system else "repository", *_held_by(verb, names))
        for verb in Verb
    ]
    head = _row("verb", "what it is", "where it counts", *names) + "\n" + _row(*["---"] * (3 + len(names))) + "\n"
    return head + "\n".join(lines) + "\n"


def _held_by(verb: Verb, names: list[str]) -> list[str]:
    return ["yes" if verb in ROLES[name] else "" for name in names]


def actions() -> str:
    lines = [_row(f"`{word}`", ", ".join(f"`{verb}`" for verb in sorted(held))) for word, held in ACTIONS.items()]
    return "| a client says | that is |\n| --- | --- |\n" + "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


PARTS: dict[str, Callable[[], str]] = {
    "actions": actions,
    "metrics": metrics,
    "refusals": refusals,
    "settings": settings,
    "variables": variables,
    "verbs": verbs,
}


def renewed(text: str) -> str:
    """The page with its generated parts as the program would write them now."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n{part[3]}", text)


def names(page: Path) -> list[str]:
    return [part[1] for part in _PART.findall(page.read_text())]


def write() -> None:
    for page in PAGES:
        text = page.read_text()
        if renewed(text) != text:
            page.write_text(renewed(text))


if __name__ == "__main__":
    write()
