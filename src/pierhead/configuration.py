"""Settings from their sources: defaults < TOML file < PIERHEAD_SECTION_KEY < flags.

Every mistake is told at once, with its key, its source, its value and what is allowed.
Values of unknown keys are never repeated: a secret may have been written in the wrong place.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from pierhead.access.loopback import start_mistake
from pierhead.errors import ConfigurationError
from pierhead.settings import Allowed, Section, Settings

PREFIX = "PIERHEAD_"
CONFIG_VARIABLE = "PIERHEAD_CONFIG"
# Kubernetes sets these in every pod beside a Service called `pierhead`; they are not ours.
_KUBERNETES = re.compile(r"PIERHEAD_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP).*)?)")
_LONGEST_VALUE = 80

Key = tuple[str, str]  # section, name


@dataclass(frozen=True, slots=True)
class Given:
    value: object
    source: str


@dataclass(slots=True)
class _Gathered:
    values: dict[Key, Given] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings, and where each that is no default came from."""

    settings: Settings
    sources: Mapping[Key, str]


def load(
    config: Path | None = None,
    flags: Mapping[Key, Given] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Configuration:
    """Raises ConfigurationError with every mistake."""
    environment = os.environ if environment is None else environment
    gathered = _Gathered()
    path = config or (Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    if path:
        _read_file(path, gathered)
    _read_environment(environment, gathered)
    gathered.values.update(flags or {})
    sections = {name: _section(name, gathered) for name in sections_by_name()}
    if not gathered.mistakes:
        settings = Settings.model_validate(sections)
        gathered.mistakes += _contradictions(settings, gathered.values)
    if gathered.mistakes:
        raise ConfigurationError(gathered.mistakes)
    return Configuration(settings, {key: given.source for key, given in gathered.values.items()})


def sections_by_name() -> dict[str, type[Section]]:
    return {name: type(info.default) for name, info in Settings.model_fields.items()}


def _read_file(path: Path, gathered: _Gathered) -> None:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        gathered.mistakes.append(f"{path}: cannot be read: {error.strerror}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        gathered.mistakes.append(f"{path}: is not TOML: {_without_content(error)}")
        return
    for section, table in document.items():
        if section not in sections_by_name():
            gathered.mistakes.append(_unknown(f"[{section}]", str(path), section, list(sections_by_name())))
        elif not isinstance(table, dict):
            gathered.mistakes.append(f"[{section}] ({path}): must be a table of settings")
        else:
            _read_table(section, table, path, gathered)


def _read_table(section: str, table: dict[str, object], path: Path, gathered: _Gathered) -> None:
    known = sections_by_name()[section].model_fields
    for name, value in table.items():
        if name in known:
            gathered.values[section, name] = Given(value, str(path))
        else:
            gathered.mistakes.append(_unknown(f"{section}.{name}", str(path), name, list(known)))


def _without_content(error: Exception) -> str:
    """Where the mistake is; a decoder's message may quote what stands there."""
    place = re.search(r"\(at .*\)", str(error))
    return f"a mistake {place[0][1:-1]}" if place else "a mistake in its encoding or syntax"


def _read_environment(environment: Mapping[str, str], gathered: _Gathered) -> None:
    known = {
        f"{PREFIX}{section}_{name}".upper(): (section, name)
        for section, model in sections_by_name().items()
        for name in model.model_fields
    }
    for variable, value in environment.items():
        if variable in known:
            gathered.values[known[variable]] = Given(value, variable)
        elif variable.startswith(PREFIX) and variable != CONFIG_VARIABLE and not _KUBERNETES.fullmatch(variable):
            gathered.mistakes.append(_unknown(variable, "environment", variable, [*known, CONFIG_VARIABLE]))


def _unknown(shown: str, source: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "`pierhead config show` names all"
    return f"{shown} ({source}): no such setting; {hint}"


def _section(name: str, gathered: _Gathered) -> Section | None:
    model = sections_by_name()[name]
    given = {key: value for (section, key), value in gathered.values.items() if section == name}
    try:
        return model.model_validate({key: one.value for key, one in given.items()})
    except ValidationError as error:
        wrong = dict.fromkeys(str(mistake["loc"][0]) for mistake in error.errors(include_url=False))
        gathered.mistakes += [_refusal(name, key, given[key], model.model_fields[key]) for key in wrong]
        return None


def _refusal(section: str, name: str, given: Given, info: FieldInfo) -> str:
    return f"{section}.{name} = {_shown(given.value, info)} ({given.source}): must be {allowed(info)}"


def _shown(value: object, info: FieldInfo) -> str:
    text = repr(value)
    # user:password@ in a URL is a secret too.
    if _is_secret(info.annotation) or "@" in text:
        return "***"
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _is_secret(annotation: object) -> bool:
    """Also as `Annotated[SecretStr, ...] | None`."""
    return annotation is SecretStr or any(map(_is_secret, getattr(annotation, "__args__", ())))


def allowed(info: FieldInfo) -> str:
    """What a field takes, in words."""
    bounds = {type(mark).__name__: mark for mark in info.metadata}
    low, high = getattr(bounds.get("Ge"), "ge", None), getattr(bounds.get("Le"), "le", None)
    words = _kind(info)
    if low is not None and high is not None:
        return f"{words} from {low} to {high}"
    return f"{words} of at least {low}" if low is not None else words


def _kind(info: FieldInfo) -> str:
    for mark in [*info.metadata, *_marks(info.annotation)]:
        if isinstance(mark, Allowed):
            return mark.text
    choices = getattr(info.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return " or ".join(choices)
    names: dict[object, str] = {int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(info.annotation, "a text")


def _marks(annotation: object) -> list[object]:
    """The metadata of `Annotated[...] | None`."""
    return [mark for part in getattr(annotation, "__args__", ()) for mark in getattr(part, "__metadata__", ())]


def _contradictions(settings: Settings, given: Mapping[Key, Given]) -> list[str]:
    """Mistakes of settings that are each right alone."""
    server = settings.server
    mistakes = []
    if (server.tls_certificate is None) != (server.tls_key is None):
        missing = "tls_key" if server.tls_key is None else "tls_certificate"
        present = "tls_certificate" if server.tls_key is None else "tls_key"
        mistakes.append(f"server.{present} ({given['server', present].source}): needs server.{missing} too")
    if settings.storage.shared and settings.database.url is None:
        mistakes.append(
            f"storage.shared ({given['storage', 'shared'].source}): needs database.url, which nodes share too"
        )
    open_to_strangers = start_mistake(server.host, settings.access)
    if open_to_strangers:
        source = given["server", "host"].source if ("server", "host") in given else "default"
        mistakes.append(f"server.host = {server.host!r} ({source}): {open_to_strangers}")
    return mistakes


def effective_toml(configuration: Configuration) -> str:
    """The settings as a TOML file that gives the same ones, each with its source."""
    lines = []
    for section, model in sections_by_name().items():
        lines.append(f"[{section}]")
        table = getattr(configuration.settings, section)
        for name in model.model_fields:
            value = getattr(table, name)
            source = configuration.sources.get((section, name), "default")
            text = f"# {name} is not set" if value is None else f"{name} = {_toml(value)}"
            lines.append(f"{text:<44} # {source}" if value is not None else text)
        lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text) + '"'
