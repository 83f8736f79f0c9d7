"""pyproject.toml, requirements.lock, environment.yml, and the commands around them."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

TOP = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}

_spec = importlib.util.spec_from_file_location("lock", TOP / ".ci" / "lock.py")
lock = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lock)
OLDEST = lock.oldest_python(PROJECT["requires-python"])


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = [line for line in (TOP / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*(; python_version < \"[\d.]+\")?", line) for line in lines), (
        "only plain pins: name==version, with the marker that pyproject.toml has"
    )
    assert lines == sorted(set(lines), key=lambda line: line.partition("==")[0])
    return dict(line.partition(";")[0].split("==") for line in lines)


def test_the_lock_holds_the_core_and_every_extra():
    locked = pins()
    for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]:
        requirement = Requirement(line)
        name = canonical(requirement.name)
        assert name in locked, f"run `make lock`: {name} is not in requirements.lock"
        assert requirement.specifier.contains(locked[name], prereleases=True)
        assert requirement.specifier, f"{name} needs a lowest version"
    assert locked["torch"] == "2.13.0"
    assert not [name for name in locked if name.startswith("nvidia") or name == "ntviz"]


def test_the_lock_is_closed():
    """Whatever a locked package needs on this system is locked as well, so that an installation is the same each time."""
    locked = pins()
    for name in locked:
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # An environment may lack an extra; what it has is looked at.
        for line in needed:
            requirement = Requirement(line)
            pythons = ({}, {"python_full_version": OLDEST})
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": "", **python}) for python in pythons
            ):
                assert canonical(requirement.name) in locked, f"{name} needs {requirement.name}"


def test_the_oldest_python_that_is_promised_installs_every_pin():
    checked = 0
    for name, version in pins().items():
        try:
            installed = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue
        if installed["Version"].partition("+")[0] != version:
            continue  # What is said of another version says nothing of this one.
        needed = installed["Requires-Python"]
        assert not lock.refuses(needed, OLDEST), (
            f"{name} {version} needs Python {needed}, but pyproject.toml promises {OLDEST}: run `make lock`"
        )
        checked += 1
    assert checked > 100


@pytest.mark.parametrize(
    ("needed", "python", "refused"),
    [
        (">=3.11.5", "3.11.0", True), (">=3.11.5", "3.11.2", True), (">=3.11.5", "3.11.5", False),
        (">=3.12", "3.11.0", True), ("!=3.11.0,>=3.9", "3.11.0", True), (">=3.11", "3.11.0", False),
        (">=3.11.0", "3.11.0", False), ("<4,>=3.8", "3.11.0", False), (None, "3.11.0", False),
    ],
)  # fmt: skip
def test_a_python_is_refused_as_pip_refuses_it(needed, python, refused):
    assert lock.refuses(needed, python) is refused


def test_the_oldest_python_is_read_from_the_promise():
    assert lock.oldest_python(">=3.11") == "3.11.0"
    assert lock.oldest_python(">=3.11.2") == "3.11.2"
    with pytest.raises(ValueError, match=r"one lower bound such as '>=3\.11'; got '~=3\.11'"):
        lock.oldest_python("~=3.11")


def test_the_lock_steps_down_to_what_the_oldest_python_installs():
    """`ease` needs a newer Python since 2.1 and `plain` does not: one steps down, the other stays with its pin."""
    published = {
        "ease": {"2.2": ">=3.11.5", "2.1": ">=3.11.4", "2.0": ">=3.10"},
        "plain": {"1.1": None, "1.0": None},
    }
    asked = []

    def resolve(wanted, constraints):
        asked.append(constraints)
        held = [Requirement(line) for line in constraints]
        newest = {
            name: next(v for v in versions if all(v in one.specifier for one in held if one.name == name))
            for name, versions in published.items()
        }
        assert wanted == ["ease", "plain"]
        return {name: {"version": v, "requires_python": published[name][v]} for name, v in newest.items()}

    assert lock.pin(["ease", "plain"], ["ease==2.2", "plain==1.0"], "3.11.0", resolve) == {
        "ease": "2.0",
        "plain": "1.0",
    }
    assert asked == [
        ["ease==2.2", "plain==1.0"],
        ["plain==1.0", "ease<2.2"],
        ["plain==1.0", "ease<2.2", "ease<2.1"],
    ]
    assert lock.pin(["ease", "plain"], [], "3.11.4", resolve) == {"ease": "2.1", "plain": "1.1"}


@pytest.mark.parametrize("uid", [0, 1000])
def test_what_the_tests_need_of_debian_is_installed_or_named(tmp_path, uid):
    """A machine with nothing but a shell: root installs, somebody else is told what to type."""
    for name in ("bash", "env", "uname", "grep"):
        (tmp_path / name).symlink_to(shutil.which(name))
    fakes = {"apt-get": 'echo "$@" >> "$LOG"', "id": f"echo {uid}", "sudo": "exit 1"}
    for name, body in fakes.items():
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"
    script = (TOP / ".ci" / "packages").read_text().replace("PATH=$PATH:/usr/sbin", "")
    answer = subprocess.run(
        [shutil.which("bash"), "-c", script, "packages", "slurm", "python"], capture_output=True, text=True, check=False,
        env={"PATH": str(tmp_path), "LOG": str(log)},
    )  # fmt: skip
    wanted = "chromium bcftools fontconfig fonts-dejavu-core fonts-liberation slurmctld slurmd slurm-client munge"
    wanted += " make python3 python3-venv"
    if uid:
        assert answer.returncode == 1 and not log.exists()
        assert answer.stderr.splitlines() == [
            f"The tests need Debian's packages; type: sudo apt-get install --no-install-recommends {wanted}"
        ]
    else:
        assert answer.returncode == 0, answer.stderr
        assert log.read_text().splitlines()[-1] == f"install -y -qq --no-install-recommends {wanted}"


def test_the_makefile_and_the_readme_name_the_oldest_python():
    promised = PROJECT["requires-python"].removeprefix(">=")
    needed = f"({promised.replace('.', ', ')})"
    for path in ("Makefile", ".ci/packages"):
        assert re.findall(r"sys\.version_info < (\(.*?\))", (TOP / path).read_text()) == [needed], path
    assert f"ntviz needs Python {promised} or newer" in (TOP / "Makefile").read_text()
    assert f"Python {promised} or newer" in (TOP / "README.md").read_text()


def test_conda_users_get_the_same_ranges():
    environment = yaml.safe_load((TOP / "environment.yml").read_text())
    assert environment["channels"][-1] == "nodefaults"
    listed = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    wanted = {f"python{PROJECT['requires-python']}", "pip"}
    for line in [*PROJECT["dependencies"], *EXTRAS["lab"], *EXTRAS["pretraining"]]:
        name = Requirement(line).name
        wanted.add(line.replace(name, CONDA_NAMES.get(name, name), 1))
    assert set(listed) == wanted
    assert environment["dependencies"][-1] == {"pip": ["--editable ."]}


def test_core_dependencies_stay_few():
    """Twenty-three: what a model, a table, a figure, a notebook and the command need. The README says what each is for."""
    names = [Requirement(line).name for line in PROJECT["dependencies"]]
    assert len(names) == len(set(names)) <= 23
    readme = (TOP / "README.md").read_text()
    assert {"plotly", "logomaker", "ipywidgets", "anywidget", "captum", "scikit-learn"} <= set(names)
    for name in names:
        assert f"`{name}`" in readme


def test_extras_repeat_nothing_and_are_in_the_readme():
    core = {canonical(Requirement(line).name) for line in PROJECT["dependencies"]}
    table = (TOP / "README.md").read_text().partition("| extra | for |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(EXTRAS)
    for extra, lines in EXTRAS.items():
        assert lines, f"the extra {extra} is empty"
        assert not core & {canonical(Requirement(line).name) for line in lines}, extra


def test_no_message_names_an_extra_that_does_not_exist():
    for path in [*(TOP / "ntviz").rglob("*.py"), *TOP.glob("*.md"), *(TOP / "notebooks").glob("*.ipynb")]:
        named = set(re.findall(r"ntviz\[(\w+)\]", path.read_text(encoding="utf-8")))
        assert named <= set(EXTRAS), f"{path.relative_to(TOP)} names {sorted(named - set(EXTRAS))}"


def test_every_variable_is_on_the_page_of_variables():
    files = [
        path
        for folder in ("ntviz", "workflow")
        for path in (TOP / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    # What is built from a part, as in f"NTVIZ_{name}", ends in an underscore.
    used = {
        name for path in files for name in re.findall(r"NTVIZ_[A-Z]+(?:_[A-Z]+)*\b", path.read_text(encoding="utf-8"))
    }
    page = set(re.findall(r"NTVIZ_[A-Z_]+", (TOP / "docs" / "variables.md").read_text(encoding="utf-8")))
    assert used == page - {"NTVIZ_KILLS", "NTVIZ_NULL_SETS"} and len(used) >= 12


def test_every_import_is_declared():
    """The standard library, a declared package, or what one brings; of an extra, which has all of it, by `environment.need`."""
    brought = {
        "bs4": "nbconvert", "nbclient": "papermill", "nbformat": "papermill", "traitlets": "nbconvert",
        "jupyter_client": "ipykernel", "IPython": "ipykernel", "psutil": "ipykernel", "huggingface_hub": "transformers", "packaging": "matplotlib", "PIL": "matplotlib",
        "sklearn": "scikit-learn", "scipy": "scikit-learn", "threadpoolctl": "scikit-learn", "umap": "umap-learn",
        "tokenizers": "transformers", "httpx": "transformers", "filelock": "torch", "pydantic_core": "pydantic", "requests": "pooch", "platformdirs": "pooch",
        "yaml": "papermill", "jsonschema": "papermill", "triton": "torch",  # triton: of its CUDA builds
    }  # fmt: skip
    declared = {canonical(Requirement(line).name) for line in PROJECT["dependencies"]}
    extras = {canonical(Requirement(line).name) for extra in EXTRAS.values() for line in extra}
    checked = 0
    for path in sorted((TOP / "ntviz").rglob("*.py")):
        source = path.read_text()
        asked = ast.unparse(ast.parse(source))
        for node in ast.walk(ast.parse(source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition(".")[0] for name in names} - {"ntviz"} - set(sys.stdlib_module_names):
                owner = brought.get(name, canonical(name))
                assert owner in declared | extras, f"{path.relative_to(TOP)} imports {name}: nothing declares it"
                optional = owner not in declared and owner in extras
                if optional and not (
                    ast.unparse(node).startswith("from accelerate import") and "TYPE_CHECKING" in source
                ):
                    assert f"need('{name}" in asked or "ntviz[hpc]" in source, (
                        f"{path.relative_to(TOP)} imports {name}: needs need()"
                    )
        for module, extra in re.findall(r"need\('(\w+)[\w.]*', '(\w+)'", asked):
            brings = {canonical(Requirement(line).name) for line in EXTRAS[extra]}
            assert brought.get(module, canonical(module)) in brings, f"{path.relative_to(TOP)}: {extra} lacks {module}"
            checked += 1
    assert checked >= 11


# The commands


def make(*arguments, **variables):
    settings = [f"{name}={value}" for name, value in variables.items()]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    words = ["make", "--no-print-directory", *arguments, *settings]
    return subprocess.run(words, cwd=TOP, env=clean, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ("*print*) echo 3.9;; *) exit 1", "ntviz needs Python 3.11 or newer, but found: {python}=3.9."),
        ("*print*) echo 3.11;; venv) exit 1;; *) exit 0", "apt-get install python3-venv"),
    ],
)
def test_a_python_that_is_old_or_has_no_venv_is_refused_with_words(tmp_path, answers, words):
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\ncase "$2" in {answers};; esac\n')
    python.chmod(0o755)
    answer = make("env", VENV=tmp_path / "venv", CANDIDATES=f"{python} {tmp_path / 'nothing'}")
    assert answer.returncode != 0
    assert words.format(python=python) in answer.stderr
    if "3.9" in answers:
        assert "make tour PYTHON=/path/to/python3.11" in answer.stderr
        none = make("env", VENV=tmp_path / "venv", CANDIDATES=tmp_path / "nothing")
        assert "found: none." in none.stderr
        assert not (tmp_path / "venv").exists()


def test_an_environment_that_is_there_is_not_made_again(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / ".installed").touch()
    answer = make("env", VENV=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Nothing to be done" in answer.stdout


def test_ci_runs_the_tests():
    script = TOP / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make --keep-going test test-cluster")
    subprocess.run(["bash", "-n", str(script)], check=True)
