"""The wheels where there is no clone, and the library where there is the core alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

TOP = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
BUNDLE = TOP / "data"
NOTEBOOKS = sorted(path.name for path in (TOP / "notebooks").glob("*.ipynb"))


def pip(*words: object, **options) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, **options)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """ntviz's wheel, from a clone with one commit, and the bundle's."""
    # A copy: building must not leave anything in the clone, nor pick up what lies around in it.
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py", "data/checksums.sha256"):
        (source / name).parent.mkdir(exist_ok=True)
        shutil.copy(TOP / name, source / name)
    for name in ("ntviz", "kernels", "workflow", "notebooks"):
        shutil.copytree(TOP / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", source, "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, source, BUNDLE, cwd=target)
    return next(target.glob("ntviz-*.whl")), next(target.glob("ntviz_data-*.whl")), commit


def test_the_wheels_hold_the_package_its_notebooks_and_the_bundle(wheels):
    path, data_path, commit = wheels
    wheel, version = zipfile.ZipFile(path), PROJECT["version"]
    names = set(wheel.namelist())
    for kernel, device in (("ntviz", "cpu"), ("ntviz-gpu", "cuda")):
        spec = json.loads(wheel.read(f"ntviz-{version}.data/data/share/jupyter/kernels/{kernel}/kernel.json"))
        assert spec["argv"][1:3] == ["-m", "ipykernel_launcher"]
        assert (spec["env"], spec["language"]) == ({"NTVIZ_DEVICE": device}, "python")
    for folder, place in (("ntviz", ""), ("workflow", "ntviz/")):
        files = {file for file in (TOP / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts}
        assert {place + file.relative_to(TOP).as_posix() for file in files} <= names
    assert {name for name in names if name.endswith(".ipynb")} == {f"ntviz/notebooks/{name}" for name in NOTEBOOKS}
    assert {"ntviz/py.typed", f"ntviz-{version}.dist-info/licenses/LICENSE"} <= names
    assert wheel.read("ntviz/_commit.txt").decode() == f"{commit}\n"
    assert not [name for name in names if name.startswith(("data/", "tests/", "notebooks/"))]
    assert path.stat().st_size < 1_500_000 and data_path.stat().st_size < 45_000_000
    assert b"ntviz = ntviz.__main__:main" in wheel.read(f"ntviz-{version}.dist-info/entry_points.txt")
    about = wheel.read(f"ntviz-{version}.dist-info/METADATA").decode()
    assert "Project-URL: " in about and "Programming Language :: Python :: 3.11" in about
    sums = (BUNDLE / "checksums.sha256").read_text()
    assert wheel.read("ntviz/data/checksums.sha256").decode() == sums
    bundled = {name.removeprefix("ntviz_data/") for name in zipfile.ZipFile(data_path).namelist()}
    assert {line.split("  ")[1] for line in sums.splitlines()} | {"README.md", "__init__.py"} <= bundled


@pytest.fixture(scope="module")
def elsewhere(wheels, tmp_path_factory):
    """A machine with ntviz's wheel and what it needs, no clone, no bundle: `ntviz WORDS` in an empty folder, with a new HOME."""
    place, work, home = (
        tmp_path_factory.mktemp("venv"),
        tmp_path_factory.mktemp("work"),
        tmp_path_factory.mktemp("home"),
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "needed.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    pip("--python", place / "bin" / "python", "install", "--no-deps", "--no-index", wheels[0], cwd=work)
    (place / "share" / "jupyter" / "nbconvert").symlink_to(Path(sys.prefix) / "share" / "jupyter" / "nbconvert")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NTVIZ_", "PYTHON", "XDG_", "JUPYTER"))
    }
    env = kept | {"HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": f"{place}/bin:{os.environ['PATH']}"}

    def run(*words: str, code: int = 0) -> str:
        answer = subprocess.run(words, cwd=work, env=env, capture_output=True, text=True, timeout=300)
        assert answer.returncode == code, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    run.place, run.work, run.env = place, work, env
    return run


def test_a_wheel_alone_says_what_is_missing_and_with_the_bundle_runs_its_notebooks_anywhere(elsewhere, wheels):
    without = elsewhere("ntviz", "doctor", code=1).splitlines()
    (line,) = [number for number, text in enumerate(without) if text.startswith("ERROR")]
    assert re.fullmatch(r"ERROR  no default command can work: the bundle in \S+ lacks chr20, genes, .*", without[line])
    assert without[line + 1].strip() == "-> `pip install ntviz-data` or `ntviz data fetch bundle`"
    said = elsewhere("ntviz", "data", "fetch", "bundle", code=1)
    assert "lacks 18 of its 18 files. Run `pip install ntviz-data`, or set NTVIZ_BUNDLE to the address" in said
    assert "bundled model ntviz-mini: run `pip install ntviz-data`" in elsewhere(
        "python", "-c", "from ntviz import models; models.load('ntviz-mini')", code=1
    )
    pip("--python", elsewhere.place / "bin" / "python", "install", "--no-deps", "--no-index", wheels[1])
    bundle = elsewhere.place.joinpath("lib").glob("python*/site-packages/ntviz_data")
    assert elsewhere("ntviz", "data", "fetch", "bundle").strip() == str(next(bundle))
    assert "  ok   bundle in " in elsewhere("ntviz", "doctor")
    assert re.search(r"ntviz-mini +bundle ", elsewhere("ntviz", "models"))
    code = "import ntviz; from ntviz import annotation, data; from ntviz.reference import Reference; print(ntviz.__version__, "
    code += "Reference(data.bundle('chr20')).fetch(annotation.read(data.bundle('genes')).gene('HNF4A')).interval)"
    assert elsewhere("python", "-c", code).strip() == f"{PROJECT['version']} 20:42984340-43063236(+)"
    names = [Path(name).stem for name in NOTEBOOKS]
    assert [line.split()[0] for line in elsewhere("ntviz", "notebooks").splitlines()[1:-2]] == names
    # The wheel's own kernel: the interpreter of its environment by an absolute path, whichever program starts it. A home that
    # nobody can write stops nothing.
    (elsewhere.work / "file").touch()
    home = f"HOME={elsewhere.work}/file/home"
    elsewhere("env", home, "ntviz", "run", "00_start", "--profile", "ci", "--kernel", "ntviz", "--out", "out")
    facts = json.loads((elsewhere.work / "out" / "manifest.json").read_text())
    assert (facts["status"], facts["kernel"]) == ("ok", "ntviz") and facts["answer"]
    assert facts["ntviz"]["commit"] == wheels[2] and elsewhere.place.name in facts["ntviz"]["folder"]


def test_notebooks_are_copied_over_no_file(elsewhere):
    elsewhere("ntviz", "notebooks", "--copy", "mine")
    folder = elsewhere.work / "mine"
    assert sorted(path.name for path in folder.iterdir()) == NOTEBOOKS
    for name in NOTEBOOKS:
        (folder / name).unlink() if name != "30_attention.ipynb" else (folder / name).write_text("my work")
    said = elsewhere("ntviz", "notebooks", "--copy", "mine", code=2)
    assert "must not take the place of a file, but mine has 30_attention.ipynb" in said
    assert [path.read_text() for path in folder.iterdir()] == ["my work"]


def core() -> dict[str, metadata.Distribution]:
    """Every distribution that an installation without extras brings, by name."""
    found, asked = {}, [(Requirement(line), "") for line in PROJECT["dependencies"]]
    while asked:
        one, extra = asked.pop()
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            known = one.name in found
            found[one.name] = metadata.distribution(one.name)
            extras = [*one.extras, *([] if known else [""])]
            asked += [(Requirement(line), extra) for line in found[one.name].requires or [] for extra in extras]
    return found


RESOLVE = """
import ast, doctest, importlib, pkgutil, sys
import ntviz
failed = tried = 0
for found in pkgutil.walk_packages(ntviz.__path__, "ntviz."):
    if found.name.endswith(("__main__", "triton_counts")) or ".notebooks" in found.name:
        continue
    module = importlib.import_module(found.name)
    for name in getattr(module, "__all__", ()):
        getattr(module, name)
    result = doctest.testmod(module)
    failed, tried = failed + result.failed, tried + result.attempted
print(failed, tried)
"""
CALLS = {
    "maps": "from ntviz import embeddings; embeddings.project(np.random.default_rng(0).normal(size=(40, 8)), method='umap')",
    "motifs": "from ntviz import data, motifs; known = motifs.read(data.bundle('motifs')); motifs.name(known['MA0139.2'], known)",
    "bigwig": "from ntviz import annotation; open('a.bw', 'wb').write(bytes.fromhex('26fc8f88') + bytes(60)); annotation.read_signal('a.bw')",
    "benchmark": "from ntviz import benchmark; names = np.array(list('abcd')); texts = [4 * 'ACGT', 4 * 'ACCT', 4 * 'AGGT', 4 * 'AAAT']; "
    "examples = benchmark.Examples(names, texts, np.array([0, 1, 0, 1]), names); "
    "benchmark.check(benchmark.Task('f', 'binary', ('no', 'yes'), examples, examples))",
    "benchmark ": "from ntviz import finetuning, models; "
    "finetuning.tune(models.load('ntviz-mini'), ['ACGT' * 30] * 8, [0, 1] * 4, kind='binary', outputs=2, method='ia3')",
    "benchmark  ": "from ntviz.models.peers import spliceai; spliceai.read_h5(pathlib.Path('a.h5'))",
    "pretraining": "from ntviz.pretraining import training, recipe; training._accelerator(recipe.Recipe(), 'cpu')",
    "export": "from ntviz import plot; import plotly.graph_objects as go; plot.save(go.Figure(), 'a.svg')",
    "hpc": "open('s.tsv', 'w').write('sample\\trun\\na\\t00_start\\n'); from ntviz.runs import submitting; "
    "submitting.prepare('s.tsv', 'out', profile='local')",
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python with the core alone, the oldest here of this minor version: links to exactly what pip would install."""
    place = tmp_path_factory.mktemp("core")
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    others = [path for folder in ("/usr/bin", "/usr/local/bin") if (path := shutil.which(name, path=folder))]
    ask = "import sys, venv; print(*sys.version_info[:3])"
    version = {
        path: subprocess.run([path, "-c", ask], capture_output=True, text=True).stdout
        for path in [sys.executable, *others]
    }
    oldest = min((path for path in version if version[path]), key=lambda path: [*map(int, version[path].split())])
    subprocess.run([oldest, "-m", "venv", "--without-pip", place], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    linked = {"ntviz": TOP / "ntviz", "bin": None, "..": None, "__pycache__": None}
    for one in [*core().values(), metadata.distribution("ntviz")]:
        for file in one.files or []:
            top = file.parts[0]
            if top not in linked and not top.startswith("_editable"):
                linked[top] = Path(str(one.locate_file(top)))
    for top, target in linked.items():
        if target is not None:
            (site / top).symlink_to(target)

    def run(code: str, *, check: bool = True) -> subprocess.CompletedProcess:
        words, env = (
            [place / "bin" / "python", "-c", code],
            {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        env = {name: value for name, value in env.items() if name != "PYTHONPATH"}
        return subprocess.run(words, cwd=place, env=env, capture_output=True, text=True, check=False, timeout=300)

    return run


def test_the_core_alone_imports_every_module_resolves_every_name_and_runs_every_example(bare):
    answer = bare(RESOLVE)
    assert answer.returncode == 0, answer.stderr[-2000:]
    failed, tried = map(int, answer.stdout.splitlines()[-1].split())
    assert failed == 0 and tried > 150, answer.stdout[-2000:]


def test_what_needs_an_extra_says_so_in_one_line_that_can_be_typed(bare):
    assert {extra.strip() for extra in CALLS} | {"lab", "test"} == set(PROJECT["optional-dependencies"])
    code = "import json, pathlib, sys, numpy as np\nsaid = {}\n"
    for extra, call in CALLS.items():
        code += f"try:\n exec({call!r})\nexcept Exception as error:\n said[{extra!r}] = str(error)\n"
    answer = bare(code + "print(json.dumps(said))")
    assert answer.returncode == 0, answer.stderr[-2000:]
    said = json.loads(answer.stdout.splitlines()[-1])
    for extra in CALLS:
        text = said.get(extra, "nothing was said")
        assert f"pip install 'ntviz[{extra.strip()}]'" in text and "\n" not in text, (extra, text)
