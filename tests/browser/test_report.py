"""The report that `ntviz run` writes, opened offline: every figure seen, nothing asked of the network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = '</script><script>window.planted=1</script><img src=x onerror="window.planted=1">'
# A contig's name has no whitespace; FASTA and GTF allow all the rest.
CONTIG = "</script><script>window.planted=1</script>"
PARAMETERS = 'gene: str = "HNF4A"  # shown in the figures\nchrom: str = "chr20"  # contig of the last one\n'
FIGURES = """
import numpy as np
from ntviz import plot
from ntviz.genome import Interval

interval = Interval("chr20", 1000, 1101)
track = plot.signal_track(np.linspace(0, 1, 101), label=f"ramp of {gene}", unit="nats")
plot.locus(interval, [track], title=f"What is at {gene}?", assembly="GRCh37")
"""
SECOND = """
import pandas as pd

table = pd.DataFrame({"step": [1, 2, 3], "loss": [8.0, 7.5, 7.25]})
plot.curves(table, x="step", y=["loss"], y_label="loss, nats", title=f"Loss at {gene}")
"""
THIRD = """
from IPython.display import display

from ntviz.annotation import Annotation
from ntviz.annotation.elements import COLUMNS

row = (chrom, 1010, 1060, "+", "exon", gene, gene, gene, gene, "")
genes = Annotation(pd.DataFrame([row], columns=list(COLUMNS)))
display(genes.table, genes)
print(chrom, gene)
plot.locus(Interval(chrom, 1000, 1101), [plot.genes_track(genes), track], title=chrom)
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with three figures, made by the command, with script tags planted in gene and contig."""
    folder = tmp_path_factory.mktemp("report")
    parameters = nbformat.v4.new_code_cell(PARAMETERS)
    parameters.metadata["tags"] = ["parameters"]
    cells = [
        nbformat.v4.new_markdown_cell("# What does a report show?"),
        parameters,
        nbformat.v4.new_code_cell(FIGURES),
        nbformat.v4.new_code_cell(SECOND),
        nbformat.v4.new_code_cell(THIRD),
    ]
    source = folder / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), source)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [
        sys.executable,
        "-m",
        "ntviz",
        "run",
        str(source),
        "-p",
        f"gene={HOSTILE}",
        "-p",
        f"chrom={CONTIG}",
        "--out",
        str(folder / "run"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "run" / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_shows_every_figure_without_a_network(report, open_offline, check_figure, scheme):
    opened = open_offline(report, color_scheme=scheme)
    assert len(opened.figures) == 3
    for figure in opened.figures:
        check_figure(figure)
    for image in opened.page.locator("img").all():
        assert image.get_attribute("alt")
    opened.clean()


def test_the_cursor_works_in_the_report(report, open_offline):
    opened = open_offline(report)
    slider = opened.figures[0].get_by_role("slider")
    slider.press("Home")
    slider.press("ArrowRight")
    line = opened.figures[0].locator("[data-readout]").text_content()
    assert line.startswith("chr20:1,002  ·  ramp of ")
    assert line.endswith("0.01 nats")
    opened.clean()


def test_script_tags_in_a_parameter_do_not_run_in_the_report(report, open_offline):
    opened = open_offline(report)
    assert opened.page.evaluate("window.planted") is None
    assert "window.planted" in opened.figures[0].locator("figcaption, [data-readout]").all_text_contents()[
        0
    ] + (opened.figures[0].get_attribute("aria-label") or "")
