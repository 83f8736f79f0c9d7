"""The typed parameters cell of a notebook: what it declares, and values for it from text."""

from __future__ import annotations

import ast
import difflib
import io
import json
import math
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

TAG = "parameters"
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_NONE = {"none", "null", ""}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: annotation = default  # help``.

    Attributes
    ----------
    name, annotation, help
        As written; the annotation is empty where the cell has none.
    default
        The literal's value.
    """

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
    for cell in notebook.cells:
        if cell.cell_type == "code" and TAG in cell.metadata.get("tags", []):
            return cell
    return None


def read(notebook: NotebookNode) -> dict[str, Parameter]:
    """The parameters that a notebook declares, by name, in their order; empty without a parameters cell.

    Raises
    ------
    ValueError
        If the cell is not Python, or a line is not an assignment of a literal.
    """
    cell = cell_of(notebook)
    return parse(cell.source) if cell is not None else {}


def parse(source: str) -> dict[str, Parameter]:
    """The parameters that the source of a parameters cell declares, by name, in their order.

    A comment at the end of a line, or the comment lines directly above it, is the parameter's help.

    Raises
    ------
    ValueError
        If the source is not Python, or a line is not an assignment of a literal.

    Examples
    --------
    >>> parse("window: int = 1_000  # bp")["window"]
    Parameter(name='window', annotation='int', default=1000, help='bp')
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(
            f"the parameters cell must be plain Python, but line {error.lineno} reads {(error.text or '').strip()!r}. "
            "Keep magics and shell commands in another cell"
        ) from error
    comments = _comments(source)
    found = {}
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, annotation = statement.target, ast.unparse(statement.annotation).strip("'\"")
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, annotation = statement.targets[0], ""
        else:
            target, annotation = None, ""
        line = ast.get_source_segment(source, statement) or ""
        if not isinstance(target, ast.Name) or not isinstance(statement, ast.Assign | ast.AnnAssign):
            raise ValueError(
                f"the parameters cell must hold lines 'name: type = literal', but line {statement.lineno} is {line!r}. "
                "Move it to a cell of its own"
            )
        try:
            default = ast.literal_eval(statement.value)  # ty: ignore[invalid-argument-type]
        except ValueError as error:
            raise ValueError(
                f"a parameter must be a literal, but line {statement.lineno} is {line!r}. "
                "Write the value itself, and compute in a later cell"
            ) from error
        last = statement.end_lineno or statement.lineno
        found[target.id] = Parameter(
            target.id, annotation, default, comments.get(last) or _above(comments, statement)
        )
    return found


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    own_lines = source.splitlines()
    found: dict[int, str] = {}
    for token in tokens:
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("#").strip()
            # A line of its own is stored under its negative number, so that it is not taken for a trailing one.
            alone = own_lines[token.start[0] - 1].lstrip().startswith("#")
            found[-token.start[0] if alone else token.start[0]] = text
    return found


def _above(comments: dict[int, str], statement: ast.stmt) -> str:
    lines: list[str] = []
    number = statement.lineno - 1
    while -number in comments:
        lines.insert(0, comments[-number])
        number -= 1
    return " ".join(lines)


def assign(declared: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the parameters in `given`, coerced to what the notebook declares.

    Parameters
    ----------
    declared
        As `read` returns them.
    given
        By name: text as typed in a shell, or a value of the declared type.

    Raises
    ------
    ValueError
        If a name is not declared (the nearest one is proposed), or a value does not fit its annotation.

    Examples
    --------
    >>> assign(parse("chrom: str = '20'"), {"chrom": "7"})
    {'chrom': '7'}
    """
    return {name: coerce(value, _known(name, declared)) for name, value in given.items()}


def _known(name: str, declared: Mapping[str, Parameter]) -> Parameter:
    if name in declared:
        return declared[name]
    near = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    has = f"It has: {', '.join(declared)}" if declared else "It has no cell tagged 'parameters'"
    raise ValueError(f"a parameter must be one that the notebook declares, but {name!r} came. {hint}{has}")


def coerce(value: Any, parameter: Parameter) -> Any:
    """`value` as the type that `parameter` declares; text is read, other values are checked.

    Understood are str, int, float, bool, None, Literal, list, tuple and dict, and unions of them. A list may be
    typed as ``a,b,c`` or as ``[a, b]``. Text stays text where the annotation allows it, whatever it looks like.

    Raises
    ------
    ValueError
        If the value does not fit.

    Examples
    --------
    >>> coerce("1e3", Parameter("window", "int", 0)), coerce("none", Parameter("gene", "str | None", ""))
    (1000, None)
    """
    try:
        tree = ast.parse(parameter.kind, mode="eval").body
    except SyntaxError:
        tree = ast.Name("Any")
    try:
        return _read(value, tree) if isinstance(value, str) else _check(value, tree)
    except (ValueError, SyntaxError, TypeError) as error:
        raise ValueError(
            f"parameter {parameter.name!r} must be {parameter.kind}, but {value!r} came. "
            f"Give a value like its default, {parameter.default!r}"
        ) from error


def _parts(tree: ast.expr) -> tuple[str, list[ast.expr]]:
    """Name of a type and its arguments: ``list[int]`` is ('list', [int]), ``int | None`` is ('union', [int, None])."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitOr):
        left, right = _parts(tree.left), _parts(tree.right)
        return "union", [
            *(left[1] if left[0] == "union" else [tree.left]),
            *(right[1] if right[0] == "union" else [tree.right]),
        ]
    if isinstance(tree, ast.Constant):
        return ("none", []) if tree.value is None else ("any", [])
    if isinstance(tree, ast.Subscript):
        name, _ = _parts(tree.value)
        arguments = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
        if name == "optional":
            return "union", [*arguments, ast.Constant(None)]
        return name, list(arguments)
    if isinstance(tree, ast.Attribute):
        return tree.attr.lower(), []
    name = tree.id.lower() if isinstance(tree, ast.Name) else "any"
    return ("none" if name == "nonetype" else name), []


def _read(text: str, tree: ast.expr) -> Any:
    name, arguments = _parts(tree)
    if name == "union":
        return _read_union(text, arguments)
    if name == "none":
        return _one_of(text, {None: _NONE})
    if name == "bool":
        return _one_of(text, {True: _TRUE, False: _FALSE})
    if name == "int":
        return _whole(text)
    if name == "float":
        return float(text)
    if name == "literal":
        return _choice(text, arguments)
    if name in ("list", "tuple", "sequence", "set"):
        return _read_many(text, name, arguments)
    if name == "dict":
        return _check(_literal(text), tree)
    return text


def _read_union(text: str, members: list[ast.expr]) -> Any:
    # The most particular reading wins; text comes last, since every text is one.
    order = ["none", "literal", "bool", "int", "float", "list", "tuple", "dict", "str"]
    ranked = sorted(
        members, key=lambda member: order.index(_parts(member)[0]) if _parts(member)[0] in order else 99
    )
    texts = any(_parts(member)[0] in ("str", "path") for member in members)
    for member in ranked:
        kind = _parts(member)[0]
        if texts and kind in ("bool", "int", "float"):
            continue
        if kind == "none" and texts and text == "":
            continue
        try:
            return _read(text, member)
        except (ValueError, SyntaxError, TypeError):
            continue
    raise ValueError("no member of the union reads it")


def _one_of(text: str, words: Mapping[Any, set[str]]) -> Any:
    for value, spellings in words.items():
        if text.strip().lower() in spellings:
            return value
    raise ValueError(f"{text!r} is none of the words for it")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)


def _choice(text: str, arguments: list[ast.expr]) -> Any:
    for argument in arguments:
        value = ast.literal_eval(argument)
        if text == str(value):
            return value
    raise ValueError("not among the choices")


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return ast.literal_eval(text)


def _read_many(text: str, name: str, arguments: list[ast.expr]) -> Any:
    stripped = text.strip()
    if stripped[:1] in ("[", "("):
        inner = stripped[1:-1].strip()
        if inner and stripped[-1:] not in ("]", ")"):
            raise ValueError("the bracket is not closed")
        try:
            return _check(_literal(stripped), ast.parse(_rebuilt(name, arguments), mode="eval").body)
        except (ValueError, SyntaxError, TypeError):
            stripped = inner  # [a, b] without quotes, or numbers that are meant as text
    items = [item.strip().strip("'\"") for item in stripped.split(",") if item.strip()]
    kinds = [
        argument
        for argument in arguments
        if not (isinstance(argument, ast.Constant) and argument.value is ...)
    ]
    if name == "tuple" and len(kinds) > 1:
        if len(kinds) != len(items):
            raise ValueError("another number of values")
        return tuple(_read(item, kind) for item, kind in zip(items, kinds, strict=True))
    values = [_read(item, kinds[0]) if kinds else item for item in items]
    return tuple(values) if name == "tuple" else values


def _rebuilt(name: str, arguments: list[ast.expr]) -> str:
    return f"{name}[{', '.join(map(ast.unparse, arguments))}]" if arguments else name


def _check(value: Any, tree: ast.expr) -> Any:
    name, arguments = _parts(tree)
    if name == "union":
        for member in arguments:
            try:
                return _check(value, member)
            except (ValueError, TypeError):
                continue
        raise TypeError("no member of the union fits")
    if name == "literal":
        if value in [ast.literal_eval(argument) for argument in arguments]:
            return value
        raise ValueError("not among the choices")
    if name == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if name == "tuple" and isinstance(value, list):
        value = tuple(value)
    if name in ("list", "tuple", "sequence") and isinstance(value, list | tuple) and len(arguments) == 1:
        value = type(value)(_check(item, arguments[0]) for item in value)
    wanted = {
        "str": str, "int": int, "float": float, "bool": bool, "none": type(None),
        "list": list, "tuple": tuple, "dict": dict, "sequence": (list, tuple),
    }.get(name, object)  # fmt: skip
    if not isinstance(value, wanted) or (isinstance(value, bool) and name in ("int", "float")):
        raise TypeError(f"{type(value).__name__} is not {name}")
    return value


def source_of(values: Mapping[str, Any]) -> str:
    """Python lines that assign `values`, for the cell that is put after the parameters cell.

    Examples
    --------
    >>> print(source_of({"chrom": "7", "rate": float("inf")}))
    # set by `ntviz run`
    chrom = '7'
    rate = float('inf')
    """
    return "\n".join(
        ["# set by `ntviz run`", *(f"{name} = {_source(value)}" for name, value in values.items())]
    )


def _source(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"  # repr would be a name that is not defined
    if isinstance(value, list):
        return f"[{', '.join(map(_source, value))}]"
    if isinstance(value, tuple):
        return f"({''.join(f'{_source(item)}, ' for item in value).rstrip(' ')})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_source(key)}: {_source(item)}' for key, item in value.items())}}}"
    return repr(value)
