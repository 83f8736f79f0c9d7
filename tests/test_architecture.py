"""The layers: what each module may import, how light the package is; and messages that name options of their command."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from ntviz import cli

PACKAGE = Path(__file__).resolve().parents[1] / "ntviz"

ANYTHING = {"*"}
BASE = {"genome", "environment", "storage", "statistics"}  # places and bases; paths and progress; files; shared numbers
SEEN = BASE | {"reference", "annotation", "tokens", "tiling", "models.protocol"}  # what an analysis sees; a model is an argument
ANALYSES = {"attention", "attribution", "embeddings", "landscape", "variants"}
LAYERS: list[dict[str, set[str]]] = [
    {"genome": set(), "environment": set(), "storage": {"environment"}, "statistics": set()},
    {"data": {"environment", "storage"}},  # the bundle, the catalogue of files elsewhere, and fetching them
    {"reference": BASE, "annotation": BASE | {"reference"}, "tokens": BASE, "tiling": BASE},
    {"models": BASE | {"tokens", "tiling"}},
    {
        "masking": BASE | {"tokens", "models.protocol"},  # hides tokens and reads them in batches
        **{"motifs": BASE, "embeddings": SEEN, "attribution": SEEN},
        **{"attention": SEEN | {"masking", "motifs"}, "landscape": SEEN | {"masking"}},
        "pretraining": SEEN | {"models"},
    },
    {
        "probing": BASE | {"embeddings"},
        "finetuning": SEEN | {"models", "probing"},  # probing: its metrics
        "variants": SEEN | {"masking", "embeddings", "probing", "finetuning"},  # what learns from labelled variants
        "benchmark": SEEN | {"data", "models", "embeddings", "probing", "finetuning", "masking", "motifs", "variants"},
    },
    {
        "plot": BASE | {"annotation", "tokens"},
        "explore": SEEN | ANALYSES | {"plot", "masking", "motifs"},
    },
    {"runs": ANYTHING, "cli": ANYTHING, "__main__": {"cli"}},
]
ALLOWED = {module: allowed for modules in LAYERS for module, allowed in modules.items()}
LAYER_OF = {module: layer for layer, modules in enumerate(LAYERS) for module in modules}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> set[str]:
    """Modules of ntviz that Python source imports, without the leading package, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            if node.module == "ntviz":
                found |= {f"ntviz.{alias.name}" for alias in node.names}
            else:
                found.add(str(node.module))
    return {name.removeprefix("ntviz.") for name in found if name.startswith("ntviz.")}


def allows(allowed: set[str], name: str) -> bool:
    return allowed == ANYTHING or any(name == entry or name.startswith(f"{entry}.") for entry in allowed)


def test_imports_are_found_everywhere():
    source = "import ntviz.genome\nfrom ntviz import tokens, plot\ndef f():\n    from ntviz.models.registry import SPECS\nimport os"
    assert imported(source) == {"genome", "tokens", "plot", "models.registry"}
    with pytest.raises(AssertionError, match="line 1: imports are absolute here"):
        imported("from . import genome")
    assert allows({"models.protocol"}, "models.protocol") and allows({"models"}, "models.registry")
    assert not allows({"models.protocol"}, "models.registry")


def test_the_table_itself_only_points_downwards():
    for module, allowed in ALLOWED.items():
        for name in allowed - ANYTHING:
            below = LAYER_OF[name.partition(".")[0]]
            # Within a layer, only what the design lists: benchmark stands on probing and finetuning.
            assert below <= LAYER_OF[module], f"{module} may not import {name} from a layer above"


def test_modules_import_only_what_their_layer_allows():
    wrong = []
    for path in SOURCES:
        module, names = module_of(path), imported(path.read_text())
        if path == PACKAGE / "__init__.py":
            wrong += [f"ntviz itself must not import ntviz.{name}" for name in names]
            continue
        assert module in ALLOWED, f"{module} is not in the table of layers: add it, with what it may import"
        for name in names:
            own = name == module or name.startswith(f"{module}.")
            if not own and not allows(ALLOWED[module], name):
                wrong.append(f"{path.relative_to(PACKAGE)} must not import ntviz.{name}")
    assert not wrong, "\n".join(wrong)


def test_files_say_what_they_hold_and_hold_one_idea():
    wrong = []
    for path in SOURCES:
        lines = path.read_text().splitlines()
        if path.stem in {"utils", "helpers", "common", "io", "config", "misc"}:
            wrong.append(f"{path.relative_to(PACKAGE)}: a name that tells nothing")
        if len(lines) > 600:
            wrong.append(f"{path.relative_to(PACKAGE)} has {len(lines)} lines: split it by noun")
        if any("import" in line.split() for line in lines) and "from __future__ import annotations" not in lines:
            wrong.append(f"{path.relative_to(PACKAGE)}: from __future__ import annotations is missing")
    assert not wrong, "\n".join(wrong)


HEAVY = ("torch", "transformers", "matplotlib", "plotly", "pandas", "IPython", "papermill", "nbconvert")
LEARNING = ("torch", "transformers", "sklearn", "matplotlib")


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("statement", "without"),
    [
        ("import ntviz; from ntviz import cli, environment, genome, runs", HEAVY),
        ("from ntviz import tokens; from ntviz.genome import sequence", ("torch", "matplotlib", "pandas")),
        ("from ntviz import annotation, data, models, reference", ("torch", "transformers", "matplotlib")),
        ("from ntviz import plot", ("torch", "transformers")),
        ("from ntviz import attribution, benchmark, embeddings, probing", (*LEARNING, "pandas")),
        ("from ntviz import attention, explore, motifs", ("torch", "transformers", "matplotlib", "anywidget")),
        # Names are imported when asked for; these are as light then.
        ("from ntviz.attribution import Attribution, Output", LEARNING),
        ("from ntviz.embeddings import project, windows", (*LEARNING, "umap")),
    ],
)
def test_imports_stay_light(statement, without):
    loaded = python(f"import sys; {statement}; print(*[name for name in sys.modules if '.' not in name])")
    assert set(loaded.split()) & set(without) == set()


# What a message tells a person to do must be possible where they are: a command has each option that its messages name.

_COMMANDS_OF = {
    "variants": ["score"], "attention": ["enrich"], "landscape": ["landscape"], "storage.py": ["enrich", "landscape"],
    "pretraining": ["pretrain"], "benchmark": ["benchmark.run"], "data/downloads.py": ["fetch"],
    "runs/execute.py": ["run"], "runs/submitting.py": ["submit"], "runs/kernel.py": ["install"],
    "runs/variant_report.py": ["report"],
}  # fmt: skip
"""Commands whose person reads what these parts of the library raise."""
_OTHERS = re.compile(r"`(?!ntviz)[^`]*`|pip install [^.]*")
"""Commands of other programs."""


def commands(group=None, prefix: str = "") -> dict[str, set[str]]:
    """Options of each command, by the name of its function; those of `ntviz benchmark` begin with it."""
    found = {}
    for name, command in (group or get_command(cli.app)).commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, "benchmark." if name == "benchmark" else "")
        else:
            words = (word for entry in command.params for word in (*entry.opts, *entry.secondary_opts))
            found[prefix + command.callback.__name__] = set(words)
    return found


def named(node: ast.AST) -> set[str]:
    """Options that the texts below a node name."""
    texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _OTHERS.sub("", " ".join(texts))))


def messages(tree: ast.AST) -> list[ast.AST]:
    """What is raised, texts that are put into it, and the functions and properties that put a summary in words."""
    summaries = ("text", "warnings", "doubts")
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        or (isinstance(node, ast.FunctionDef) and node.name in summaries)
        or (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.JoinedStr))
    ]


@pytest.mark.parametrize("place", _COMMANDS_OF)
def test_messages_of_the_library_name_options_of_their_command(place):
    known = commands()
    target = PACKAGE / place
    for path in sorted(target.rglob("*.py")) if target.is_dir() else [target]:
        for message in messages(ast.parse(path.read_text())):
            for name in _COMMANDS_OF[place]:
                assert named(message) <= known[name], (path.name, message.lineno, name)


def test_messages_of_commands_name_their_own_options():
    known, seen, functions = commands(), set(), {}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        prefix = "benchmark." if path.stem == "benchmark" else ""
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                functions[prefix + node.name] = node

    def readers(name: str) -> set[str]:
        """Commands that are this function or call it: a part that several share is read by the people of each."""
        if name in known:
            return {name}
        call = re.compile(rf"\b{name.rpartition('.')[2]}\(")
        callers = [other for other, node in functions.items() if other != name and call.search(ast.unparse(node))]
        return set().union(*map(readers, callers))

    for name, node in functions.items():
        for message in filter(named, messages(node)):
            people = readers(name)
            assert people
            for command in people:
                assert named(message) <= known[command], (name, message.lineno, command)
            seen |= named(message)
    assert {"--shard", "--genes", "--motifs", "--piece"} <= seen
