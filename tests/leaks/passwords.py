"""Every password that the suite uses: read out of its source, and told by the fixtures that draw one as they start.

A constant counts where a name says that it is one: of a variable, a keyword, a key, a parameter (whichever function of
the suite has it), a column of a parametrized test, a setting in a text. What is put together in an expression, or has
no such name, goes unseen.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SHORTEST = 7  # below that a word is found by chance: in digests, in base64, within other words

# Words that stand in what is searched for other reasons, with these.
LEFT_OUT = {
    "password": "names columns, fields and settings",
    "builder": "the name of robots and users",
    "changed": "a word of log lines and of events",
    "aaaaaaaaaaaa": "stands in digests that tests make up",
}

_drawn: set[str] = set()
_NAME = re.compile(r"(.*[_ ])?(password|passphrase|secret)s?", re.IGNORECASE)
_SETTING = re.compile(
    r"""\b(?:\w+_)?(?:password|passphrase|secret)["']? ?[=:] ?["']([^"'{}\n\\]+)["']""", re.IGNORECASE
)


def drawn(secret: str) -> str:
    """Notes one that was made at run time."""
    _drawn.add(secret)
    return secret


def wanted() -> frozenset[str]:
    """What to search for."""
    return frozenset(
        word for word in used() | _drawn if "\0" not in word and len(word) >= SHORTEST and word not in LEFT_OUT
    )


@cache
def used(folder: Path = Path(__file__).parents[1]) -> frozenset[str]:
    """Those in the source, short ones among them."""
    paths = [path for path in sorted(folder.rglob("*.py")) if path.parent.name != "leaks"]
    trees = [ast.parse(path.read_bytes()) for path in paths]
    functions = _parameters(trees)
    return frozenset(word for tree in trees for word in Source(tree, functions).passwords() if word.strip())


def _parameters(trees: Sequence[ast.Module]) -> dict[str, set[int]]:
    """At which places functions of a name take passwords; a name with many meanings is none of a place."""
    places: dict[str, list[set[int]]] = defaultdict(list)
    for tree in trees:
        for name, taken in _of_module(tree).items():
            places[name].append(taken)
    return {name: found[0] for name, found in places.items() if all(taken == found[0] for taken in found)}


def _of_module(tree: ast.Module) -> dict[str, set[int]]:
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            taken = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            names = [name for name in taken if name not in ("self", "cls")]
            found[node.name] = {place for place, word in enumerate(names) if _NAME.fullmatch(word)}
    return found


@dataclass(slots=True)
class Source:
    """One module."""

    tree: ast.Module
    functions: dict[str, set[int]]
    constants: dict[str, ast.expr] = field(default_factory=dict)

    def passwords(self) -> Iterator[str]:
        self.functions = self.functions | _of_module(self.tree)
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign):
                self.constants |= {name: value for name, value in _bound(statement.targets[0], statement.value) if name}
        for node in ast.walk(self.tree):
            for value in _called_so(node, self.functions):
                yield from self._words(value)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from _SETTING.findall(node.value)

    def _words(self, node: ast.expr) -> Iterator[str]:
        match node:
            case ast.Constant(value=str(word)):
                yield word
            case ast.Constant(value=bytes(word)):
                yield word.decode(errors="replace")
            case ast.Name(id=name) if name in self.constants and self.constants[name] is not node:
                yield from self._words(self.constants[name])
            case ast.Call(func=ast.Name(id="field"), keywords=[ast.keyword(arg="default", value=value), *_]):
                yield from self._words(value)
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                for part in parts:
                    yield from self._words(part)


def _called_so(node: ast.AST, functions: dict[str, set[int]]) -> Iterator[ast.expr]:
    """Values that `node` gives to the name of a password."""
    match node:
        case ast.Assign(targets=[target], value=value):
            yield from (part for name, part in _bound(target, value) if _NAME.fullmatch(name))
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield from (part for name, part in _bound(target, value) if _NAME.fullmatch(name))
        case ast.keyword(arg=str(name), value=value) if _NAME.fullmatch(name):
            yield value
        case ast.keyword(arg="auth", value=ast.Tuple(elts=[_, value])):
            yield value
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str) and _NAME.fullmatch(key.value):
                    yield value
        case ast.arguments():
            yield from _defaults(node)
        case ast.Call():
            yield from _given(node, functions)


def _defaults(taken: ast.arguments) -> Iterator[ast.expr]:
    placed = [*taken.posonlyargs, *taken.args]
    defaults = [*zip(placed[len(placed) - len(taken.defaults) :], taken.defaults, strict=True)]
    by_name = zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
    yield from (value for argument, value in [*defaults, *by_name] if value and _NAME.fullmatch(argument.arg))


def _bound(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ast.Attribute(attr=name), _:
            yield name, value
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            for part, its_value in zip(targets, values, strict=True):
                yield from _bound(part, its_value)


def _given(call: ast.Call, functions: dict[str, set[int]]) -> Iterator[ast.expr]:
    match call:
        case ast.Call(
            func=ast.Attribute(attr="parametrize"), args=[ast.Constant(value=str(names)), ast.List(elts=rows)]
        ):
            yield from _columns([name.strip() for name in names.split(",")], rows)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=arguments):
            yield from (arguments[place] for place in functions.get(name, ()) if place < len(arguments))


def _columns(names: list[str], rows: list[ast.expr]) -> Iterator[ast.expr]:
    for place, name in enumerate(names):
        if _NAME.fullmatch(name):
            for row in rows:
                if len(names) == 1:
                    yield row
                elif isinstance(row, ast.Tuple):
                    yield row.elts[place]
