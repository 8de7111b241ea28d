"""Settings from their sources: defaults < TOML file < PIERHEAD_SECTION_KEY < flags.

Every mistake is told at once, with its key, its source, its value and what is allowed.
Values of unknown keys are never repeated: a secret may have been written in the wrong place.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from pierhead.access.ldap.mistakes import contradictions
from pierhead.access.oidc import mistakes as of_issuers
from pierhead.errors import ConfigurationError
from pierhead.setting_kinds import Allowed, Section, Table
from pierhead.settings import Settings

PREFIX = "PIERHEAD_"
CONFIG_VARIABLE = "PIERHEAD_CONFIG"
# Kubernetes sets these in every pod beside a Service called `pierhead`; they are not ours.
_KUBERNETES = re.compile(r"PIERHEAD_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP).*)?)")
_LONGEST_VALUE = 80

Key = tuple[str, str]  # section, name; a table's section is its kind and its name: ldap.corp


@dataclass(frozen=True, slots=True)
class Given:
    value: object
    source: str


@dataclass(slots=True)
class _Gathered:
    values: dict[Key, Given] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in tables_by_name()})
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
    sections = {name: _section(name, model, gathered) for name, model in sections_by_name().items()}
    tables = {
        kind: tuple(_section(name, model, gathered) for name in gathered.tables[kind])
        for kind, model in tables_by_name().items()
    }
    if not gathered.mistakes:
        settings = Settings.model_validate({**sections, **tables})
        gathered.mistakes += _contradictions(settings, gathered.values)
    if gathered.mistakes:
        raise ConfigurationError(gathered.mistakes)
    return Configuration(settings, {key: given.source for key, given in gathered.values.items()})


def sections_by_name() -> dict[str, type[Section]]:
    return {name: type(info.default) for name, info in Settings.model_fields.items() if info.default != ()}


def tables_by_name() -> dict[str, type[Table]]:
    """The kinds of which there may be several: arrays of tables in the file."""
    # Their annotation is tuple[Kind, ...].
    return {name: get_args(info.annotation)[0] for name, info in Settings.model_fields.items() if info.default == ()}


def _read_file(path: Path, gathered: _Gathered) -> None:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        gathered.mistakes.append(f"{path}: cannot be read: {error.strerror}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        gathered.mistakes.append(f"{path}: is not TOML: {_without_content(error)}")
        return
    known = [*sections_by_name(), *tables_by_name()]
    for section, table in document.items():
        if section not in known:
            gathered.mistakes.append(_unknown(f"[{section}]", str(path), section, known))
        elif section in tables_by_name():
            _read_tables(section, table, path, gathered)
        elif not isinstance(table, dict):
            gathered.mistakes.append(f"[{section}] ({path}): must be a table of settings")
        else:
            _read_table(section, sections_by_name()[section], table, path, gathered)


def _read_tables(kind: str, tables: object, path: Path, gathered: _Gathered) -> None:
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        gathered.mistakes.append(f"[{kind}] ({path}): must be written [[{kind}]], since there may be several")
        return
    for number, table in enumerate(tables, start=1):
        # One without a name is told by its number, and refused for it later.
        name = table["name"] if isinstance(table.get("name"), str) else str(number)
        section = f"{kind}.{name}"
        if section in gathered.tables[kind]:
            gathered.mistakes.append(f"{section} ({path}): another [[{kind}]] has this name too")
        else:
            gathered.tables[kind].append(section)
            _read_table(section, tables_by_name()[kind], table, path, gathered)


def _read_table(section: str, model: type[Section], table: dict[str, object], path: Path, gathered: _Gathered) -> None:
    known = model.model_fields
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
    # Sorted, as tables that stand nowhere else come in the order of their names.
    for variable, value in sorted(environment.items()):
        if variable in known:
            gathered.values[known[variable]] = Given(value, variable)
        elif key := _table_key(variable, gathered):
            gathered.values[key] = Given(value, variable)
        elif variable.startswith(PREFIX) and variable != CONFIG_VARIABLE and not _KUBERNETES.fullmatch(variable):
            gathered.mistakes.append(
                _unknown(variable, "environment", variable, [*known, *_variables_of_tables(gathered), CONFIG_VARIABLE])
            )


def _variables_of_tables(gathered: _Gathered) -> list[str]:
    return [
        f"{PREFIX}{section}_{name}".replace(".", "_").replace("-", "_").upper()
        for kind, model in tables_by_name().items()
        for section in gathered.tables[kind]
        for name in model.model_fields
    ]


def _table_key(variable: str, gathered: _Gathered) -> Key | None:
    """PIERHEAD_LDAP_CORP_BASE_DN is base_dn of the table `corp`, which is made where the file has none."""
    keys = _possible_keys(variable)
    there = [key for key in keys if key[0] in gathered.tables[_kind_of(key[0])]]
    if len(there) > 1:
        named = " or ".join(sorted(".".join(key) for key in there))
        gathered.mistakes.append(f"{variable} (environment): is {named}; write that in the file")
    if there or not keys:
        return there[0] if there else None
    # X_GROUP_FILTER is the group filter of x, not the filter of x-group.
    section, name = max(keys, key=lambda key: len(key[1]))
    gathered.tables[_kind_of(section)].append(section)
    gathered.values[section, "name"] = Given(section.partition(".")[2], variable)
    return section, name


def _possible_keys(variable: str) -> list[Key]:
    keys = []
    for kind, model in tables_by_name().items():
        prefix = f"{PREFIX}{kind}_".upper()
        for name in sorted(model.model_fields.keys() - {"name"}):
            table = variable.removeprefix(prefix).removesuffix(f"_{name}".upper())
            if table and variable == f"{prefix}{table}_{name}".upper():
                keys.append((f"{kind}.{table.lower().replace('_', '-')}", name))
    return keys


def _kind_of(section: str) -> str:
    return section.partition(".")[0]


def _unknown(shown: str, source: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "`pierhead config show` names all"
    return f"{shown} ({source}): no such setting; {hint}"


def _section(name: str, model: type[Section], gathered: _Gathered) -> Section | None:
    given = {key: value for (section, key), value in gathered.values.items() if section == name}
    try:
        return model.model_validate({key: one.value for key, one in given.items()})
    except ValidationError as error:
        wrong = dict.fromkeys(str(mistake["loc"][0]) for mistake in error.errors(include_url=False))
        gathered.mistakes += [_refusal(name, key, given.get(key), model.model_fields[key]) for key in wrong]
        return None


def _refusal(section: str, name: str, given: Given | None, info: FieldInfo) -> str:
    if given is None:
        return f"{section}.{name}: must be given: {allowed(info)}"
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
    mistakes += _first_start(settings, given)
    of_tables = [
        *((f"ldap.{one.name}", name, text) for one in settings.ldap for name, text in contradictions(one)),
        *of_issuers.contradictions(settings),
    ]
    for table, name, text in of_tables:
        source = given[table, name].source if (table, name) in given else "default"
        mistakes.append(f"{table}.{name} ({source}): {text}")
    return mistakes


def _first_start(settings: Settings, given: Mapping[Key, Given]) -> list[str]:
    access = settings.access
    if access.setup and not settings.pages.enabled:
        return [f"access.setup ({given['access', 'setup'].source}): needs pages.enabled, as it is a page"]
    pair = {name: getattr(access, name) for name in ("first_admin", "first_admin_password_file")}
    if all(pair.values()) or not any(pair.values()):
        return []
    present, missing = sorted(pair, key=lambda name: pair[name] is None)
    return [f"access.{present} ({given['access', present].source}): needs access.{missing} too"]


def effective_toml(configuration: Configuration) -> str:
    """The settings as a TOML file that gives the same ones, each with its source."""
    lines = []
    for section in sections_by_name():
        lines += [f"[{section}]", *_told(configuration, section, getattr(configuration.settings, section)), ""]
    for kind in tables_by_name():
        for table in getattr(configuration.settings, kind):
            lines += [f"[[{kind}]]", *_told(configuration, f"{kind}.{table.name}", table), ""]
    return "\n".join(lines)


def _told(configuration: Configuration, section: str, settings: Section) -> Iterator[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        source = configuration.sources.get((section, name), "default")
        if value is None:
            yield f"# {name} is not set"
        else:
            yield f"{f'{name} = {_toml(value)}':<44} # {source}"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text) + '"'
