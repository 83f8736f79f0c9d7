"""The Figure object: its surfaces, its escaping, its files, and the data its cursor reads."""

from __future__ import annotations

import ast
import base64
import functools
import html
import json
import os
import re
import struct
import subprocess
import sys
import textwrap
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from ntviz import plot
from ntviz.annotation import Annotation
from ntviz.annotation.elements import COLUMNS
from ntviz.genome import Interval
from ntviz.plot import readout as readouts
from ntviz.plot.figure import Figure, cursor_script
from ntviz.plot.readout import GenomeStops, Lane, Pane, Readout, packed_floats
from ntviz.tokens import Tokenizer

HOSTILE = '</script><script>window.planted=1</script><img src=x onerror="window.planted=1">'


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.captions: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script":
            self.scripts.append(data)
        if self.found and self.found[-1][0] == "figcaption":
            self.captions.append(data)


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    return elements


def values_of(lane: dict) -> list[float]:
    """Decode a packed lane as the script does."""
    return np.frombuffer(base64.b64decode(lane["values"]), dtype="<f4").tolist()


def locus(name: str = "HNF4A promoter") -> Figure:
    interval = Interval("chr20", 999, 1099)
    track = plot.signal_track(np.arange(100.0), label=name, unit="nats")
    return plot.locus(interval, [track], title=name, assembly="GRCh37", sequence="ACGT" * 25)


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def test_bundle_is_one_group_with_an_image_its_alt_text_a_caption_and_the_cursor():
    figure = locus()
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/plain"] == figure.alt == repr(figure)
    elements = parsed(bundle["text/html"])
    assert [tag for tag, _ in elements.found] == ["figure", "img", "figcaption", "script", "script"]
    group, image, _, data, _ = (attributes for _, attributes in elements.found)
    assert group["role"] == "group"
    assert group["aria-label"] == "HNF4A promoter"
    assert "background-color:#ffffff" in group["style"]
    assert image["alt"] == figure.alt
    assert image["src"].startswith("data:image/png;base64,")
    assert base64.b64decode(image["src"].split(",", 1)[1]) == figure.png()
    assert data["type"] == "application/json"


def test_html_asks_the_network_for_nothing():
    text = locus().page()
    elements = parsed(text)
    for tag, attributes in elements.found:
        assert not {"href", "srcset", "poster", "action"} & set(attributes), tag
        if "src" in attributes:
            assert attributes["src"].startswith("data:")
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)


def test_png_has_two_pixels_a_css_pixel():
    figure = locus()
    width, height = size_of(figure.png())
    assert width == 2 * figure.width == 1920
    assert (width // 2, height // 2) == size_of(figure.png(scale=1))


@pytest.mark.parametrize("scale", [0, 0.4, 9])
def test_png_refuses_odd_scales(scale):
    with pytest.raises(ValueError, match=r"between 0\.5 and 8 pixels per CSS pixel; received"):
        locus().png(scale=scale)


def test_same_data_gives_the_same_bytes():
    assert locus().html() == locus().html()
    assert locus().svg() == locus().svg()


def test_names_from_data_are_escaped_on_every_surface(tmp_path):
    figure = locus(HOSTILE)
    for text in (figure.html(), figure.page()):
        elements = parsed(text)
        assert [tag for tag, _ in elements.found].count("script") == 2
        assert [tag for tag, _ in elements.found].count("img") == 1
        assert not any("onerror" in attributes for _, attributes in elements.found)
        data = json.loads(elements.scripts[0])
        assert data["title"] == HOSTILE
    assert html.escape(HOSTILE) in figure.html()
    assert "<script" not in figure.svg()


@functools.cache
def hostile_figures() -> dict[str, Figure]:
    # Neither a FASTA nor a GTF file forbids such a contig; only whitespace ends a contig's name.
    contig = "<script>window.planted=1</script>"
    interval = Interval(contig, 0, 60, "-")
    features = pd.DataFrame(
        [
            (contig, 5, 50, "+", kind, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
            for kind in ("transcript", "exon")
        ],
        columns=list(COLUMNS),
    )
    table = pd.DataFrame({HOSTILE: [HOSTILE, "b"], "x": [1.0, 2.0], "set": ["s", HOSTILE]})
    named = {"title": HOSTILE, "caption": HOSTILE}
    tokens = Tokenizer("nt-v2")("ACGTNN" * 10)
    values = np.linspace(0, 1, 60)
    tracks = [
        plot.genes_track(Annotation(features), label=f"{HOSTILE} 1"),
        plot.sequence_track("ACGTNN" * 10),
        plot.logo_track(np.full((60, 4), 0.25), label=f"{HOSTILE} 2"),
        plot.signal_track(values, label=f"{HOSTILE} 3", unit=HOSTILE, control=values, control_label=HOSTILE),
        plot.attention_track(np.full(len(tokens), 0.1), tokens.spans, label=f"{HOSTILE} 4", unit=HOSTILE),
    ]
    return {
        "locus": plot.locus(interval, tracks, assembly=HOSTILE, marks={HOSTILE: Interval(contig, 10, 11)}, **named),
        "curves": plot.curves(
            table.rename(columns={"x": contig}).assign(step=[1, 2]), x="step", y={contig: HOSTILE}, x_label=HOSTILE,
            y_label=HOSTILE, baselines={HOSTILE: 1.5}, **named,
        ),
        "bars": plot.bars(
            table, category=HOSTILE, value="x", label=HOSTILE, series="set", baselines={HOSTILE: 1.5}, **named
        ),
        "strip": plot.token_strip({HOSTILE: tokens}, interval=interval, **named),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["locus", "curves", "bars", "strip"])
def test_contigs_genes_and_labels_are_escaped_in_every_figure(kind):
    figure = hostile_figures()[kind]
    for text in (figure.html(), figure.page()):
        elements = parsed(text)
        tags = Counter(tag for tag, _ in elements.found)
        assert (tags["script"], tags["img"]) == (2 if figure.readout else 0, 1)
        assert not any("onerror" in attributes for _, attributes in elements.found)
        for script in elements.scripts[:1]:
            json.loads(script)
    assert "window.planted" in figure.alt
    assert "<script" not in figure.svg()
    assert "<img" not in figure.svg()


def test_json_cannot_end_its_script_element():
    lane = Lane("<!--<script>\u2028&", texts=["</ScRiPt>"])
    text = Readout(1, [lane], heads=["a"], boxes=[(0, 0, 1, 1)]).json("t")
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text)["lanes"][0] == {"label": "<!--<script>\u2028&", "texts": ["</ScRiPt>"]}


def test_dollar_signs_and_unknown_glyphs_in_names_are_drawn_as_they_are():
    figure = locus(rb"gene $\frac$ \u4e2d \u0000 \U0001f9ec".decode("unicode_escape"))
    assert len(figure.png()) > 1000


@pytest.mark.parametrize("name", ["figure.png", "figure.html", "figure.svg", "FIGURE.PNG"])
def test_save_writes_the_format_of_the_ending(tmp_path, name):
    path = locus().save(tmp_path / "new folder" / name)
    content = path.read_bytes()
    starts = {".png": b"\x89PNG", ".html": b"<!doctype html>", ".svg": b"<?xml"}
    assert content.startswith(starts[path.suffix.lower()])
    assert [entry.name for entry in path.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", ["figure.pdf", "figure", "figure.pkl"])
def test_save_refuses_other_endings(tmp_path, name):
    with pytest.raises(ValueError, match=r"one of \.png, \.html, \.svg; received .*Change the ending"):
        locus().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_save_leaves_nothing_half_written(tmp_path):
    target = tmp_path / "figure.png"
    target.mkdir()
    with pytest.raises(OSError, match="figure.png"):
        locus().save(target)
    assert os.listdir(tmp_path) == ["figure.png"]


def test_a_full_disk_leaves_the_figure_that_was_there(tmp_path):
    # A limit on the size of files makes real writes fail as on a full disk.
    script = """
        import resource, sys
        import numpy as np
        from ntviz import plot
        from ntviz.genome import Interval
        track = plot.signal_track(np.arange(100.0), label="ramp", unit="nats")
        figure = plot.locus(Interval("chr20", 0, 100), [track], title="t")
        figure.png(), figure.svg()
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        for ending in ("png", "html", "svg"):
            try:
                figure.save(f"{sys.argv[1]}/figure.{ending}")
            except OSError as error:
                print(error)
    """
    (tmp_path / "figure.png").write_text("old")
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    for ending in ("png", "html", "svg"):
        assert (
            f"A figure must be written whole; writing figure.{ending} ended with 'File too large'"
            in answer.stdout
        )
    assert os.listdir(tmp_path) == ["figure.png"]
    assert (tmp_path / "figure.png").read_text() == "old"


def test_settings_of_matplotlib_are_the_callers_again():
    before = dict(mpl.rcParams)
    locus().png()
    assert dict(mpl.rcParams) == before


def test_drawing_touches_no_pyplot_figures():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    locus().png()
    assert plt.get_fignums() == before


def test_plot_loads_neither_torch_nor_models():
    code = (
        "import sys, ntviz.plot; bad = {'torch', 'transformers', 'ntviz.models', 'matplotlib.pyplot'} & set(sys.modules);"
        "sys.exit(f'loaded: {bad}' if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_pickled():
    for path in Path(plot.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            )
            assert not {"pickle", "cloudpickle", "joblib", "marshal", "shelve"} & set(names), path


def test_script_is_small_and_has_no_markup():
    script = cursor_script()
    assert len(script.encode()) < 6000
    assert "</" not in script
    assert "<!--" not in script
    assert "innerHTML" not in script


def test_packed_values_come_back_as_32_bit_floats():
    values = np.random.default_rng(0).normal(size=1000)
    values[::7] = np.nan
    np.testing.assert_array_equal(values_of({"values": packed_floats(values)}), values.astype(np.float32))


def test_bins_keep_the_value_farthest_from_zero_and_its_letter():
    lane = Lane(
        "x", values=np.array([1.0, -5.0, np.nan, np.nan, 2.0]), letters="ACGTC", runs=[(0, 3, "exon")]
    )
    binned = lane.binned(2)
    np.testing.assert_array_equal(binned.values, [-5.0, np.nan, 2.0])
    assert binned.letters == "CGC"
    assert binned.runs == [(0, 2, "exon")]


def test_a_long_window_is_binned_and_says_which_bases_a_stop_holds(monkeypatch):
    monkeypatch.setattr(readouts, "MOST_STOPS", 4)
    genome = GenomeStops("chr20", 101, 110, "ACGTACGTAC")
    data = Readout(
        10, [Lane("x", values=np.arange(10.0))], genome=genome, panes=[Pane(0, 1, 0, 1, 0, 10)]
    ).packed("t")
    assert data["n"] == 4
    assert data["genome"] == {"chrom": "chr20", "first": 101, "last": 110, "step": 1, "bin": 3}
    assert (data["panes"][0]["a"], data["panes"][0]["b"]) == (0, pytest.approx(10 / 3))
    np.testing.assert_allclose(values_of(data["lanes"][0]), [2, 5, 8, 9], atol=1e-3)


def test_readout_of_a_figure_gives_each_base_its_value():
    figure = locus()
    data = json.loads(parsed(figure.html()).scripts[0])
    assert data["genome"]["first"] == 1000
    assert data["genome"]["bases"] == "ACGT" * 25
    np.testing.assert_allclose(values_of(data["lanes"][0]), np.arange(100), atol=1e-2)


def test_a_figure_without_readout_has_no_script():
    figure = Figure(Drawing(figsize=(2, 1)), title="plain", alt="A plain figure.")
    assert "<script" not in figure.html()
    assert parsed(figure.html()).captions[0] == "plain"
