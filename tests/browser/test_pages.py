"""Figures on pages that nobody serves: the report of a run, plain nbconvert, `plot.save`; nothing asked of the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from explore_toy import annotated, snv
from nbconvert import HTMLExporter
from playwright.sync_api import expect
from variant_toy import ToyModel, toy_reference

from ntviz import variants
from ntviz.explore.variant_card import Bench
from ntviz.plot.theme import DARK, LIGHT
from ntviz.runs import variant_report

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = '</script><script>window.planted=1</script><img src=x onerror="window.planted=1">'
# A contig's name has no whitespace; FASTA and GTF allow all the rest.
CONTIG = "</script><script>window.planted=1</script>"
PARAMETERS = 'gene: str = "HNF4A"  # shown in the figures\nchrom: str = "chr20"  # contig of the last one\n'
LOCUS = """
import numpy as np
from ntviz import plot
from ntviz.genome import Interval

interval = Interval("chr20", 1000, 1601)
bases = ("ACGT" * 151)[:601]
rng = np.random.default_rng(0)
track = plot.signal_track(np.linspace(0, 1, 601), label=f"ramp of {gene}", unit="nats", control=np.zeros(601))
logo = plot.logo_track(rng.dirichlet(np.ones(4) / 4, 601), label="Expected bases")
plot.locus(
    interval, [plot.sequence_track(bases), track, logo], title=f"What is at {gene}?", assembly="GRCh37",
    zoom=Interval("chr20", 1200, 1260),
)
"""
MAP = """
weights = np.eye(1000, dtype=np.float32) * 0.5 + np.eye(1000, k=-7, dtype=np.float32) * 0.25
spans = np.stack([np.arange(1000), np.arange(1, 1001)], axis=1) * 6 + 1000
plot.attention_map(weights, spans, Interval("chr20", 1000, 7000), title=f"Attention at {gene}", label="Layer 0, head 0")
"""
CURVE = """
import pandas as pd

table = pd.DataFrame({"step": [1, 2, 3], "loss": [8.0, 7.5, 7.25]})
plot.curves(table, x="step", y=["loss"], y_label="loss, nats", title=f"Loss at {gene}")
"""
OWN = """
import plotly.express as px

px.scatter(table, x="step", y="loss", title="A figure of the user's own")
"""
GENES = """
from IPython.display import display

from ntviz.annotation import Annotation
from ntviz.annotation.elements import COLUMNS

row = (chrom, 1010, 1060, "+", "exon", gene, gene, gene, gene, "")
genes = Annotation(pd.DataFrame([row], columns=list(COLUMNS)))
display(genes.table, genes)
print(chrom, gene)
plot.locus(Interval(chrom, 1000, 1101), [plot.genes_track(genes)], title=chrom)
"""
CELLS = (LOCUS, MAP, CURVE, OWN, GENES)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of five figures by the command, with script tags planted in gene and contig."""
    folder, new = tmp_path_factory.mktemp("pages"), nbformat.v4
    parameters = new.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    cells = [new.new_markdown_cell("# What does a report show?"), parameters, *map(new.new_code_cell, CELLS)]
    nbformat.write(new.new_notebook(cells=cells), folder / "small.ipynb")
    command = [sys.executable, "-m", "ntviz", "run", str(folder / "small.ipynb"), "--out", str(folder / "out"), "-p", f"gene={HOSTILE}", "-p", f"chrom={CONTIG}"]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def drawn(opened) -> list:
    last = opened.page.locator(".ntviz-figure.js-plotly-plot .main-svg:first-child").nth(len(CELLS) - 1)
    last.wait_for(state="attached", timeout=60_000)
    return opened.page.locator(".ntviz-figure").all()


def until(read: Callable[[], bool]) -> None:
    """Wait for what a page shows; its policy forbids playwright's own waiting for expressions."""
    for _ in range(100):
        if read():
            return
        time.sleep(0.1)
    raise AssertionError("It did not come within ten seconds.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_draws_every_figure_without_a_network(run, open_offline, scheme):
    opened = open_offline(run / "report.html", color_scheme=scheme)
    figures = drawn(opened)
    assert len(figures) == len(CELLS)
    for figure in figures:
        assert len(figure.get_attribute("aria-label")) > 20
        box = figure.bounding_box()
        assert (box["width"], box["height"]) > (600, 200)
        # A card of its own: dark text on white, whatever the page.
        ground = figure.evaluate("node => node._fullLayout.paper_bgcolor + node._fullLayout.font.color")
        assert ground.lower() in ("#ffffff#1f2328", "white#2a3f5f")
    assert opened.page.evaluate("window.planted") is None
    assert "<script>window.planted=1" in figures[0].locator(".gtitle").text_content()
    opened.clean()
    if scheme == "light":
        a_mouse_zooms_hovers_and_takes_a_picture(opened, figures[0])
    else:
        a_big_map_is_exact_to_the_pixel_and_zooms(figures[1])
    opened.clean()


def test_plotly_comes_once_and_the_report_stays_small(run):
    html = (run / "report.html").read_text()
    carried = re.findall(r'class="ntviz-plotlyjs"[^>]*>([^<]*)<', html)
    assert [len(part) > 1_000_000 for part in carried] == [True, False, False, False, False]
    # Ten figures at most 6 MB, of which plotly.js is two.
    assert len(html) < 4_000_000


def test_plain_nbconvert_draws_them_too(run, open_offline):
    (run / "plain.html").write_text(HTMLExporter().from_filename(str(run / "executed.ipynb"))[0], "utf-8")
    opened = open_offline(run / "plain.html")
    assert len(drawn(opened)) == len(CELLS)
    # nbconvert's own page asks for these; figures need neither.
    asked = [[name for name in ("require", "mathjax") if name in address.lower()] for address in opened.refused]
    assert all(asked) and {name for names in asked for name in names} == {"require", "mathjax"}
    assert opened.page.evaluate("window.planted") is None


def a_mouse_zooms_hovers_and_takes_a_picture(opened, locus):
    locus.scroll_into_view_if_needed()
    box = locus.locator(".nsewdrag").nth(1).bounding_box()
    before = locus.evaluate("node => node._fullLayout.xaxis.range")
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    until(lambda: "chr20:1,30" in locus.locator(".hoverlayer").text_content())
    opened.page.mouse.wheel(0, -400)
    until(lambda: locus.evaluate("node => node._fullLayout.xaxis.range[1] - node._fullLayout.xaxis.range[0]") < 590)
    after = locus.evaluate("node => node._fullLayout.xaxis.range")
    assert before[0] <= after[0] < after[1] <= before[1]
    buttons = locus.locator(".modebar-btn").evaluate_all("nodes => nodes.map((node) => node.dataset.title)")
    assert not [button for button in buttons if "hare" in button], "a figure must not offer to be uploaded"
    for title, ending, start in (("Download plot", "svg", b"<svg"), ("Download as PNG", "png", b"\x89PNG")):
        with opened.page.expect_download() as caught:
            locus.locator(f'[data-title*="{title}"]').click()
        assert caught.value.suggested_filename == f"chr20_1001-1601.{ending}"
        assert Path(caught.value.path()).read_bytes().startswith(start)


def a_big_map_is_exact_to_the_pixel_and_zooms(figure):
    # The image under the axes has a pixel for each of the 1,000 x 1,000 weights, and lies on them.
    image = figure.locator(".imagelayer image").first
    sizes = image.evaluate(
        """async (node) => {
          const sheets = decodeURIComponent(node.getAttribute('href')).match(/data:image\\/png;base64,[A-Za-z0-9+/=]+/g);
          const pictures = sheets.map((address) => Object.assign(new Image(), { src: address }));
          await Promise.all(pictures.map((picture) => picture.decode()));
          const picture = pictures.sort((a, b) => b.width - a.width)[0];
          const canvas = new OffscreenCanvas(picture.width, picture.height);
          const pen = canvas.getContext('2d', { willReadFrequently: true });
          pen.drawImage(picture, 0, 0);
          const of = (row, column) => Array.from(pen.getImageData(column, row, 1, 1).data).join();
          return [picture.width, picture.height, of(500, 500), of(507, 500), of(500, 507), of(501, 500)];
        }"""
    )
    width, height, diagonal, shifted, empty, beside = sizes
    assert (width, height) == (1000, 1000) and len({diagonal, shifted, empty}) == 3 and empty == beside
    figure.scroll_into_view_if_needed()
    figure.evaluate("node => Plotly.relayout(node, {'xaxis.range': [3001, 3121], 'yaxis.range': [3121, 3001]})")
    # 20 tokens now fill the width that 1,000 had.
    wide = image.evaluate("node => node.getBoundingClientRect().width")
    axes = figure.evaluate("node => node._fullLayout.xaxis._length")
    assert wide == pytest.approx(axes * 50, rel=0.02)


def rgb(colour: str) -> str:
    """A colour as a browser says it."""
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"


def test_a_report_of_variants_is_sorted_by_keyboard_drawn_where_it_is_seen_and_follows_the_theme(
    open_offline, tmp_path
):
    reference, toy = toy_reference(tmp_path), ToyModel(vocabulary="nt-3mer")
    genes, path = annotated(tmp_path, "20", ("ONE", "+", (2001, 2300))), tmp_path / "toy.vcf"
    variants_ = [snv(reference, pos) for pos in (2150, 1500, 2101)]
    rows = [f"20\t{v.pos}\t{HOSTILE}\t{v.ref}\t{v.alt}\t.\t.\tA={HOSTILE}\n" for v in variants_]
    path.write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "".join([*rows, "20\t9\t.\tA\t<DEL>\t.\t.\t.\n"])
    )
    bench = Bench(toy, reference, genes, variants.Scorer(toy, reference, variants.Options(("all",))), None, 10, {})
    made = variant_report.write(variant_report.choose(path), tmp_path / "page.html", bench, what=None)
    opened = open_offline(made.written[0], color_scheme="dark")
    page = opened.page
    assert page.locator(".ntviz-figure.drawn").count() < page.locator(".ntviz-figure").count() == 6
    page.locator("#variant-1 .ntviz-figure").first.scroll_into_view_if_needed()
    page.wait_for_selector("#figure-1-1 .main-svg")
    letters = "[...document.getElementById('figure-1-1').data].filter((trace) => trace.letter)"
    unfolded = page.evaluate(f"{letters}.map((t) => [t.letter, t.x.length === t.y.length && t.x.length > 10])")
    assert unfolded == [[letter, letter != "N"] for letter in "ACGTNACGT"]
    svg = page.locator("#figure-1-1 .main-svg").first
    expect(svg).to_have_css("background-color", rgb(DARK.paper))
    page.emulate_media(color_scheme="light")
    expect(svg).to_have_css("background-color", rgb(LIGHT.paper))
    heads = page.locator(".list thead th")
    order = "[...document.querySelectorAll('.list tbody tr')].map((row) => row.cells[0].innerText)"
    heads.nth(0).locator("button").focus()
    for key, sort, first in (("Enter", "ascending", "chr20:9"), ("Space", "descending", "chr20:2,150")):
        page.keyboard.press(key)
        assert heads.nth(0).get_attribute("aria-sort") == sort and page.evaluate(order)[0] == first
    llr = [head.strip() for head in heads.all_inner_texts()].index("LLR, nats")
    for sign in (1, -1):
        heads.nth(llr).locator("button").press("Enter")
        numbers = page.evaluate(
            f"[...document.querySelectorAll('.list tbody tr')].map((row) => row.cells[{llr}].dataset.sort)"
        )
        scored = sorted((row["llr"] for row in made.rows if row["llr"] is not None), key=lambda value: sign * value)
        assert [float(text) for text in numbers[:3]] == pytest.approx(scored) and numbers[3] == ""
    assert heads.nth(0).get_attribute("aria-sort") == "none"
    page.locator("#draw").click()
    expect(page.locator(".ntviz-figure .svg-container")).to_have_count(6)
    assert page.evaluate("window.planted") is None
    opened.clean()
