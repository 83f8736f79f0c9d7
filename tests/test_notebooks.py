"""Every notebook: how it is written, and that it runs as a job at profile `ci`, with a report that opens offline."""

from __future__ import annotations

import ast
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from ntviz.runs import manifest, parameters, report

TOP = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((TOP / "notebooks").glob("*.ipynb"))
SOURCES = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
LARGEST = 8_000_000  # bytes of an executed notebook or a report; what people mail to each other


@dataclass(frozen=True)
class Done:
    """One notebook that was run: its folder, what the command said, and its manifest."""

    folder: Path
    returncode: int
    stderr: str
    facts: manifest.Manifest
    connections: str


@pytest.fixture(params=sorted(SOURCES))
def name(request):
    return request.param


_done: dict[str, Done] = {}

# Read by every Python process of a run: connections that leave this machine are refused, and written down.
NO_NETWORK = """
import socket
connect = socket.socket.connect
def refused(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        with open({log!r}, "a") as handle:
            print(address, file=handle)
        raise OSError("no network in this test")
    return connect(self, address)
socket.socket.connect = refused
"""


@pytest.fixture
def done(name, command, tmp_path_factory):
    """The run of a notebook; each is run once, whatever the number of tests that look at it."""
    if name not in _done:
        folder = tmp_path_factory.mktemp("notebooks") / name
        guard = tmp_path_factory.mktemp("guard")
        calls = guard / "calls"
        calls.touch()
        (guard / "sitecustomize.py").write_text(NO_NETWORK.format(log=str(calls)))
        words = ("run", TOP / "notebooks" / f"{name}.ipynb", "--profile", "ci", "--out", folder)
        variables = {"PYTHONPATH": f"{guard}{os.pathsep}{TOP}"}
        answer = command(*words, cwd=TOP, timeout=600, variables=variables)
        _done[name] = Done(folder, answer.returncode, answer.stderr, manifest.read(folder), calls.read_text())
    return _done[name]


def code_of(name):
    return [cell.source for cell in SOURCES[name].cells if cell.cell_type == "code"]


def text_of(name):
    return "\n".join(cell.source for cell in SOURCES[name].cells if cell.cell_type == "markdown")


# As written


def test_there_are_notebooks():
    assert "00_start" in SOURCES
    assert all(re.fullmatch(r"\d\d_[a-z_]+", name) for name in SOURCES)


def test_the_title_is_a_question_and_comes_first(name):
    first = SOURCES[name].cells[0]
    assert first.cell_type == "markdown"
    title = report.title_of(SOURCES[name])
    assert title.endswith("?")
    assert first.source.startswith("# ")
    for word in ("learn", "Needs", "Takes"):
        assert word in first.source, f"the first cell says what you learn, what is needed, how long it takes: {word}"


def test_no_outputs_are_committed(name):
    text = (TOP / "notebooks" / f"{name}.ipynb").read_text()
    assert '"output_type"' not in text
    for cell in SOURCES[name].cells:
        assert cell.get("execution_count") is None
        assert set(cell.metadata) <= {"tags", "jp-MarkdownHeadingCollapsed"}
    metadata = SOURCES[name].metadata
    assert set(metadata) <= {"kernelspec", "language_info"}
    # Any other kernel name would be unknown to whoever opens it.
    assert metadata.kernelspec.name == "python3"


def test_parameters_are_typed_and_explained(name):
    declared = parameters.read(SOURCES[name])
    assert declared["profile"].default in ("ci", "workshop", "full")
    for parameter in declared.values():
        assert parameter.annotation, f"{parameter.name} has no type"
        assert parameter.help, f"{parameter.name} has no comment"
        parameters.coerce(parameter.default, parameter)
    tagged = [cell for cell in SOURCES[name].cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1


def test_the_code_is_in_the_library(name):
    for source in code_of(name):
        tree = ast.parse(source)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    whole = "\n".join(code_of(name))
    assert "runs.current(profile=profile)" in whole
    assert "versions()" in whole
    assert "assert " in whole, "a check cell fails when its section is wrong"


def test_a_cell_is_short(name):
    """A claim, then at most 12 lines of code: what is longer belongs into the library, or is two cells."""
    for cell in SOURCES[name].cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            lines = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
            assert len(lines) <= 12, f"cell {cell.id} has {len(lines)} lines: {lines[0]}"


def test_nothing_ties_it_to_one_machine(name):
    whole = "\n".join(code_of(name)) + text_of(name)
    assert not re.search(r"/(?:home|Users|root|work|mnt|scratch)/", whole)
    assert "pip install" not in whole
    assert "trust_remote_code" not in whole


def test_the_report_can_show_its_text(name):
    # The offline report has no MathJax.
    assert not re.search(r"(?<!\\)\$[^$\n]+(?<!\\)\$", text_of(name))
    assert "## Exercises" in text_of(name)
    prose, code = len(text_of(name)), sum(map(len, code_of(name)))
    assert prose > 0.3 * code


# As run


def test_it_runs(done, name):
    assert done.returncode == 0, done.stderr
    assert done.facts.status == "ok"
    assert done.facts.profile == "ci"
    assert done.facts.error is None
    assert done.facts.metrics
    assert re.search(r"\d", done.facts.answer), "run.answer(text) gives the report its first line, with numbers"
    assert 3 <= len(done.facts.chips) <= 5
    assert done.facts.models, "run.record_model(model) puts the model into the manifest"
    assert done.facts.data, "files that ntviz opens are recorded by themselves"
    assert all(len(item["sha256"]) == 64 for item in done.facts.data)
    if (
        name == "10_pretraining"
    ):  # counting on chromosome 20 but 40 to 48 Mb, nats per 6-mer; measured elsewhere, on one strand
        assert [round(done.facts.metrics[f"{one}_nats"], 2) for one in ("unigram", "markov")] == [8.04, 7.9]


def test_a_bed_of_elsewhere_ends_notebook_30_before_anything_is_counted_and_own_files_need_no_bundle(command, tmp_path):
    (tmp_path / "far.bed").write_text("chr20\t10000000\t10000500\n")
    data, model = TOP / "data", TOP / "data" / "ntviz-mini"
    own = {
        "fasta": data / "genome" / "chr20.GRCh37.fa.gz",
        "genes": data / "genes" / "chr20.GRCh37.gtf.gz",
        "model": model,
    }
    given = [*own.items(), ("gene", "CST3"), ("beds", f"['{tmp_path}/far.bed']")]
    words = [word for name, value in given for word in ("-p", f"{name}={value}")]
    words += ["--profile", "ci", "--out", tmp_path / "out"]
    variables = {"NTVIZ_DATA": str(tmp_path / "none")}
    answer = command("run", TOP / "notebooks" / "30_attention.ipynb", *words, cwd=TOP, timeout=300, variables=variables)
    assert answer.returncode == 1
    # CST3 begins at 23,618,574 on the strand "-" (GENCODE 19): 3 Mb around it are looked at.
    assert "nothing of far.bed (on chr20) lies on chr20:22,1" in answer.stderr
    facts = manifest.read(tmp_path / "out")
    assert not facts.figures
    files = [own["fasta"], own["genes"], tmp_path / "far.bed"]
    files += [model / name for name in ("config.json", "vocab.txt", "model.safetensors")]
    assert {file["path"] for file in facts.data} == set(map(str, files))


def test_what_a_person_gives_stands_in_for_the_bundle(name):
    declared, whole = parameters.read(SOURCES[name]), "\n".join(code_of(name))
    bundled = [line for line in whole.splitlines() if "data.bundle(" in line]
    assert "fasta" not in declared or all(re.search(r"\b(?:or|else) \[?data\.bundle\(", line) for line in bundled)


def test_it_asks_no_network(done):
    assert done.connections == ""


def test_all_numbers_are_numbers(done):
    for key, value in done.facts.metrics.items():
        assert value is not None, f"{key} is not a finite number"


def test_it_leaves_what_it_says(done):
    for file in [*done.facts.tables, *done.facts.figures, "executed.ipynb", "report.html"]:
        assert (done.folder / file).stat().st_size > 0
    assert (done.folder / "executed.ipynb").stat().st_size < LARGEST
    assert (done.folder / "report.html").stat().st_size < LARGEST
    assert not list(done.folder.rglob("*.part"))


def test_the_executed_copy_is_clean(done, name):
    executed = nbformat.read(done.folder / "executed.ipynb", as_version=4)
    nbformat.validate(executed)
    assert "widgets" not in executed.metadata
    ours = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    assert [cell.source for cell in ours] == [cell.source for cell in SOURCES[name].cells]
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            # A repr with an address is a displayed object that nobody made readable.
            assert not re.search(r"<[\w.]+ object at 0x[0-9a-f]+>", json.dumps(output))


def test_the_report_opens_offline(done, browser):
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    try:
        page.goto((done.folder / "report.html").as_uri())
        assert page.title() == done.facts.title
        assert page.locator("h1 + .answer").inner_text() == done.facts.answer
        figures, pictures = page.locator(".ntviz-figure"), page.locator(".picture img")
        drawn = [file for file in done.facts.figures if file.endswith(".html")]
        assert figures.count() >= len(drawn)
        assert pictures.count() >= len(done.facts.figures) - len(drawn)
        for picture in pictures.all():
            assert picture.evaluate("element => element.naturalWidth") > 600
            # What the picture shows with its numbers, not "figure of cell 12".
            assert re.search(r"\d", words := picture.get_attribute("alt"))
            assert len(words) > 80
        drawings = page.locator(".ntviz-figure.js-plotly-plot .main-svg:first-child")
        drawings.nth(figures.count() - 1).wait_for(state="attached")
        for figure in figures.all():
            assert len(figure.get_attribute("aria-label")) > 20
            box = figure.bounding_box()
            assert (box["width"], box["height"]) > (600, 100)
        assert not page.locator("details.code[open]").count()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1200
        assert complaints == []
    finally:
        context.close()
