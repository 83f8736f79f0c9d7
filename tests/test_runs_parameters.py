"""runs.parameters: what a parameters cell declares, and text coerced to it."""

from __future__ import annotations

import math

import nbformat
import pytest

from ntviz.runs import parameters
from ntviz.runs.parameters import Parameter

CELL = '''\
"""What this notebook asks for."""
chrom: str = "20"  # contig, as in the FASTA
window: int = 1_000  # bp around the start; "#" is fine here
# Where the run may go
# to write.
out: "str | None" = None
rate: float = 1e-3
kinds: list[str] = ["exon", "intron"]  # elements
limits: tuple[int, int] = (10, 20)
mode = "fast"
'''


def test_a_cell_is_read():
    found = parameters.parse(CELL)
    assert list(found) == ["chrom", "window", "out", "rate", "kinds", "limits", "mode"]
    assert found["chrom"] == Parameter("chrom", "str", "20", "contig, as in the FASTA")
    assert found["window"].help == 'bp around the start; "#" is fine here'
    assert found["out"] == Parameter("out", "str | None", None, "Where the run may go to write.")
    assert found["mode"].kind == "str"
    assert found["limits"].default == (10, 20)


def test_the_tagged_cell_is_found():
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("other: int = 1"),
            nbformat.v4.new_code_cell("chrom: str = '20'", metadata={"tags": ["parameters"]}),
        ]
    )
    assert list(parameters.read(notebook)) == ["chrom"]
    assert parameters.read(nbformat.v4.new_notebook()) == {}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("%matplotlib inline", "must be plain Python, but line 1 reads '%matplotlib inline'"),
        ("a: int = 1\nimport os", "must hold lines 'name: type = literal', but line 2 is 'import os'"),
        ("a: int = len('x')", "a parameter must be a literal, but line 1"),
        ("a, b = 1, 2", "must hold lines"),
        ("a: int", "must hold lines"),
    ],
)
def test_other_cells_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        parameters.parse(source)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("str", "7", "7"), ("str", "", ""), ("str", "none", "none"), ("str", "<script>", "<script>"),
        ("int", "1_000", 1000), ("int", "1e6", 1_000_000), ("int", "-3", -3), ("float", "3", 3.0),
        ("float", "inf", math.inf), ("bool", "yes", True), ("bool", "False", False), ("bool", "0", False),
        ("str | None", "none", None), ("str | None", "7", "7"), ("str | None", "", ""),
        ("Optional[int]", "None", None), ("Optional[int]", "12", 12), ("None | int | float", "1.5", 1.5),
        ("int | str", "7", "7"), ("Literal['fast', 'exact']", "exact", "exact"), ("Literal[1, 2]", "2", 2),
        ("list[str]", "a, b", ["a", "b"]), ("list[str]", "20", ["20"]), ("list[str]", "[20, X]", ["20", "X"]),
        ("list[str]", '["a,b", "c"]', ["a,b", "c"]), ("list[int]", "1,2,3", [1, 2, 3]), ("list[int]", "[1, 2]", [1, 2]),
        ("list[float]", "[1, 2.5]", [1.0, 2.5]), ("list[str]", "", []), ("list", "a,b", ["a", "b"]),
        ("tuple[int, int]", "10,20", (10, 20)), ("tuple[int, ...]", "10,20,30", (10, 20, 30)),
        ("dict[str, int]", '{"a": 1}', {"a": 1}), ("dict", "{'a': None}", {"a": None}), ("Path", "data/x.fa", "data/x.fa"),
    ],
)  # fmt: skip
def test_text_is_coerced_to_the_annotation(annotation, text, value):
    found = parameters.coerce(text, Parameter("p", annotation, None))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("default", [1, 1.5, True, "x"])
def test_without_an_annotation_the_default_decides(default):
    assert parameters.coerce("1", Parameter("p", "", default)) == type(default)("1")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("int", "1.5"), ("int", "many"), ("float", "1,5"), ("bool", "maybe"), ("Literal['fast']", "slow"),
        ("list[int]", "1,b"), ("list[int]", "[1, 2"), ("tuple[int, int]", "1,2,3"), ("dict", "a=1"), ("None | int", "x"),
        ("int", 1.5), ("int", True), ("str", 7), ("list[int]", ["a"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(annotation, value):
    with pytest.raises(ValueError, match=r"parameter 'p' must be .*, but .* came. Give a value like .*, 0"):
        parameters.coerce(value, Parameter("p", annotation, 0))


def test_values_of_the_declared_type_pass():
    assert parameters.coerce(3, Parameter("p", "float", 0.0)) == 3.0
    assert parameters.coerce([1, 2], Parameter("p", "tuple[int, ...]", ())) == (1, 2)
    assert parameters.coerce(None, Parameter("p", "str | None", "")) is None


def test_unknown_names_propose_the_nearest():
    declared = parameters.parse(CELL)
    with pytest.raises(ValueError, match=r"but 'windwo' came. Did you mean 'window'\? It has: chrom, window"):
        parameters.assign(declared, {"windwo": "5"})
    with pytest.raises(ValueError, match=r"but 'zzz' came. It has: chrom"):
        parameters.assign(declared, {"zzz": "5"})
    with pytest.raises(ValueError, match="It has no cell tagged 'parameters'"):
        parameters.assign({}, {"chrom": "5"})


def test_the_injected_source_gives_the_values_back():
    values = {
        "a": "x'\"\\\n</script>", "b": None, "c": (1, 2), "d": -math.inf, "e": [True, math.inf], "f": {"k": "ä"},
        "g": (), "h": (1,),
    }  # fmt: skip
    scope: dict = {}
    exec(parameters.source_of(values), scope)
    assert {name: scope[name] for name in values} == values
    exec(parameters.source_of({"n": math.nan}), scope)
    assert math.isnan(scope["n"])
