"""The typed parameters cell of a notebook: what it declares, and values for it from text."""

from __future__ import annotations

import ast
import contextlib
import difflib
import io
import json
import re
import tokenize
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

TAG = "parameters"
_NONE = {"none", "null", ""}
_UNIONS = (typing.Union, types.UnionType)


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: annotation = default  # help``; the annotation may be empty."""

    name: str
    annotation: str
    default: Any
    help: str = ""

    @property
    def kind(self) -> str:
        """The annotation, or the type of the default where there is none."""
        return self.annotation or type(self.default).__name__


def cell_of(notebook: NotebookNode) -> NotebookNode | None:
    """The first code cell that is tagged ``parameters``, or None."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return next((cell for cell in cells if TAG in cell.metadata.get("tags", [])), None)


def read(notebook: NotebookNode) -> dict[str, Parameter]:
    """The parameters that a notebook declares, as `parse` finds them; empty without a parameters cell."""
    cell = cell_of(notebook)
    return parse(cell.source) if cell is not None else {}


def parse(source: str) -> dict[str, Parameter]:
    """The parameters that the source of a parameters cell declares, by name, in their order.

    A comment at the end of a line, or the comment lines directly above it, is the parameter's help. A cell that is no
    Python, or has a line that assigns no literal, is a ValueError.

    Examples
    --------
    >>> parse("window: int = 1_000  # bp")["window"]
    Parameter(name='window', annotation='int', default=1000, help='bp')
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        line = f"line {error.lineno} reads {(error.text or '').strip()!r}"
        hint = "Keep magics and shell commands in another cell"
        raise ValueError(f"the parameters cell must be plain Python, but {line}. {hint}") from error
    comments, found = _comments(source), {}
    for statement in tree.body:
        line = f"line {statement.lineno} is {ast.get_source_segment(source, statement)!r}"
        annotation = ""
        match statement:
            case ast.Expr(value=ast.Constant()):
                continue  # a docstring
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=ast.expr() as value):
                annotation = ast.unparse(kind).strip("'\"")
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case _:
                form = "hold lines 'name: type = literal'"
                raise ValueError(f"the parameters cell must {form}, but {line}. Move it to a cell of its own")
        try:
            default = ast.literal_eval(value)
        except ValueError as error:
            hint = "Write the value itself, and compute in a later cell"
            raise ValueError(f"a parameter must be a literal, but {line}. {hint}") from error
        last = statement.end_lineno or statement.lineno
        found[name] = Parameter(name, annotation, default, comments.get(last) or _above(comments, statement.lineno))
    return found


def _comments(source: str) -> dict[int, str]:
    """Comments by line; one on a line of its own stands under the negative number."""
    found: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            found[-token.start[0] if alone else token.start[0]] = token.string.lstrip("#").strip()
    return found


def _above(comments: Mapping[int, str], line: int) -> str:
    first = line
    while 1 - first in comments:
        first -= 1
    return " ".join(comments[-number] for number in range(first, line))


def assign(declared: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the parameters in `given`, by name, coerced to what the notebook declares; see `read` and `coerce`."""
    for name in (name for name in given if name not in declared):
        has = nearest(name, declared) if declared else "It has no cell tagged 'parameters'"
        raise ValueError(f"a parameter must be one that the notebook declares, but {name!r} came. {has}")
    return {name: coerce(value, declared[name]) for name, value in given.items()}


def nearest(name: str, known: Iterable[str]) -> str:
    """What is said of a name that is not among those known: the nearest, and all that there are."""
    near = difflib.get_close_matches(name, known := list(known), n=1, cutoff=0.5)
    return "".join(f"Did you mean {other!r}? " for other in near) + f"It has: {', '.join(known)}"


def coerce(value: Any, parameter: Parameter) -> Any:
    """`value` as the type that `parameter` declares; text is read, other values are checked.

    Understood are str, int, float, bool, None, Literal, list, tuple and dict, and unions of them. A list may be
    typed as ``a,b,c`` or as ``[a, b]``. Text stays text where the annotation allows it, whatever it looks like.

    Examples
    --------
    >>> coerce("1e3", Parameter("window", "int", 0)), coerce("none", Parameter("gene", "str | None", ""))
    (1000, None)
    """
    try:
        return fit(value, _type(ast.parse(parameter.kind, mode="eval").body))
    except (ValueError, SyntaxError, LookupError) as error:
        hint = f"Give a value like its default, {parameter.default!r}"
        name = f"parameter {parameter.name!r}"
        raise ValueError(f"{name} must be {parameter.kind}, but {value!r} came. {hint}") from error


def fit(value: Any, kind: Any) -> Any:
    """`value` as a Python type, by pydantic: text as it is typed in a shell, other values if they are of the type."""
    if isinstance(value, str):
        members = typing.get_args(kind) if typing.get_origin(kind) in _UNIONS else (kind,)
        texts = {str, Path, Any}.intersection(members)
        if NoneType in members and value.strip().lower() in _NONE and not (texts and value == ""):
            return None
        if texts:
            return value
        for member in members:
            with contextlib.suppress(ValueError, SyntaxError, LookupError):
                return _read(value, member)
        raise ValueError(f"no {kind} reads {value!r}")
    from pydantic import TypeAdapter

    is_tuple = isinstance(value, list) and tuple in (kind, typing.get_origin(kind))
    return TypeAdapter(kind, config={"strict": True}).validate_python(tuple(value) if is_tuple else value)


def _type(tree: ast.expr) -> Any:
    """The type that an annotation means, without running it; Any where it is none of ours."""
    match tree:
        case ast.Constant(value=None):
            return NoneType
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _type(left) | _type(right)
        case ast.Subscript(value=name, slice=inner):
            parts, outer = inner.elts if isinstance(inner, ast.Tuple) else [inner], _type(name)
            read = ast.literal_eval if outer is typing.Literal else _type
            arguments = tuple(... if ast.unparse(part) == "..." else read(part) for part in parts)
            return Any if outer is Any else outer[arguments[0] if outer is typing.Optional else arguments]
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return _types().get(name, Any)
    return Any


@cache
def _types() -> dict[str, Any]:
    from pydantic import BeforeValidator

    def whole(value: Any) -> Any:
        """1e6 is a whole number, too."""
        return float(value) if isinstance(value, str) and not value.lstrip("+-").isdecimal() else value

    special = ("Literal", "Optional", "Union", "Sequence", "List", "Tuple", "Dict")
    return {
        **{kind.__name__: kind for kind in (str, float, bool, list, tuple, dict)},
        **{name: getattr(typing, name) for name in special},
        "int": typing.Annotated[int, BeforeValidator(whole)],
        "Path": str,
    }


def _read(text: str, kind: Any) -> Any:
    from pydantic import TypeAdapter

    origin = typing.get_origin(kind) or kind
    if origin is typing.Literal:
        return {str(choice): choice for choice in typing.get_args(kind)}[text]
    adapter = TypeAdapter(kind)
    if origin is dict:
        return adapter.validate_python(_literal(text))
    if origin not in (list, tuple, Sequence, typing.Sequence):
        return adapter.validate_python(text)
    stripped = text.strip()
    if stripped[:1] in ("[", "("):
        if stripped[-1] != {"[": "]", "(": ")"}[stripped[0]]:
            raise ValueError("the bracket is not closed")
        with contextlib.suppress(ValueError, SyntaxError):
            return adapter.validate_python(_literal(stripped))
        stripped = stripped[1:-1]  # [a, b] without quotes, or numbers that are meant as text
    items = (part.strip().strip("'\"") for part in stripped.split(","))
    return adapter.validate_python([item for item in items if item])


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return ast.literal_eval(text)


def source_of(values: Mapping[str, Any]) -> str:
    """Python lines that assign `values`, for the cell that is put after the parameters cell.

    Examples
    --------
    >>> print(source_of({"chrom": "7", "rate": float("inf")}))
    # set by `ntviz run`
    from math import inf, nan
    chrom = '7'
    rate = inf
    """
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    special = ["from math import inf, nan"] if re.search(r"\b(inf|nan)\b", "\n".join(lines)) else []
    return "\n".join(["# set by `ntviz run`", *special, *lines])
