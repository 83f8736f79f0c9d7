"""The layers: what each module may import, how light the package is, and names that would tell nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ntviz"

ANYTHING = {"*"}
BASE = {
    "genome",
    "environment",
    "storage",
    "statistics",
}  # places and bases; paths and progress; files; shared numbers
SEEN = BASE | {
    "reference",
    "annotation",
    "tokens",
    "models.protocol",
}  # what an analysis sees; a model is an argument
LAYERS: list[dict[str, set[str]]] = [
    {"genome": set(), "environment": set(), "storage": set(), "statistics": set()},
    {"data": {"environment", "storage"}},  # the bundle, the catalogue of files elsewhere, and fetching them
    {"reference": BASE, "annotation": BASE | {"reference"}, "tokens": BASE},
    {"models": BASE | {"tokens"}},
    {
        "masking": BASE | {"tokens", "models.protocol"},  # hides tokens and reads them in batches
        "motifs": BASE,
        "attention": SEEN | {"motifs"},
        "embeddings": SEEN,
        "landscape": SEEN | {"masking"},
        "variants": SEEN | {"masking"},
        "attribution": SEEN,
        "pretraining": SEEN | {"models"},
    },
    {
        "probing": BASE | {"embeddings"},
        "finetuning": SEEN | {"models", "probing"},  # probing: its metrics
        "benchmark": SEEN | {"data", "models", "embeddings", "probing", "finetuning"},
    },
    {
        "plot": BASE | {"annotation", "tokens"},
        "explore": SEEN
        | {"plot", "masking", "attention", "embeddings", "landscape", "variants", "attribution", "motifs"},
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
    assert allows({"models.protocol"}, "models.protocol")
    assert not allows({"models.protocol"}, "models.registry")
    assert allows({"models"}, "models.registry")


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


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*[name for name in sys.modules if '.' not in name])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


@pytest.mark.parametrize(
    ("statement", "without"),
    [
        ("import ntviz", HEAVY),
        ("from ntviz import environment, genome", HEAVY),
        ("from ntviz import runs", HEAVY),
        ("from ntviz import cli", HEAVY),
        (
            "from ntviz import tokens; from ntviz.genome import sequence",
            ("torch", "transformers", "matplotlib", "pandas"),
        ),
        ("from ntviz import models", ("torch", "transformers", "matplotlib")),
        ("from ntviz import data, reference, annotation", ("torch", "transformers", "matplotlib")),
        ("from ntviz import plot", ("torch", "transformers")),
        (
            "from ntviz import benchmark, embeddings, probing",
            ("torch", "transformers", "sklearn", "pandas", "matplotlib"),
        ),
        (
            "from ntviz import attention, explore, motifs",
            ("torch", "transformers", "matplotlib", "anywidget"),
        ),
        ("from ntviz import attribution", ("torch", "transformers", "sklearn", "pandas", "matplotlib")),
        # Names are imported when asked for; these are as light then.
        (
            "from ntviz.attribution import Attribution, Output",
            ("torch", "transformers", "sklearn", "matplotlib"),
        ),
        (
            "from ntviz.embeddings import project, windows",
            ("torch", "transformers", "sklearn", "matplotlib", "umap"),
        ),
    ],
)
def test_imports_stay_light(statement, without):
    assert loaded_by(statement) & set(without) == set()


def test_the_package_imports_within_half_a_second():
    code = "import time; start = time.perf_counter(); import ntviz; print(time.perf_counter() - start)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    # The fastest of several: what else the machine does says nothing about the package.
    assert min(times) < 0.5
