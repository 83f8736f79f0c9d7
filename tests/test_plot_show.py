"""Theme, renderer, files and tables of figures: what each surface gets, and that the user's choices stay."""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import re
import resource
import threading
from html.parser import HTMLParser
from itertools import combinations
from types import SimpleNamespace

import kaleido
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from drawn import contrast, linear, rgb

from ntviz import plot
from ntviz.genome import Interval
from ntviz.plot import show, words
from ntviz.plot.theme import DARK, DASHES, LIGHT, MARKERS, colours, darkened, framed

HOSTILE = '</script><script>window.planted=1</script><img src=x onerror="window.planted=1">'


def figure(title: str = "HNF4A promoter") -> go.Figure:
    track = plot.signal_track(np.arange(100.0), label=title, unit="nats", control=np.zeros(100))
    at, marks = Interval("chr20", 999, 1099), {title: Interval("chr20", 1010, 1020)}
    return plot.locus(at, [track], title=title, assembly="GRCh37", marks=marks)


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)


@pytest.fixture
def light():
    yield
    plot.theme("light")


@pytest.fixture
def cell(monkeypatch):
    current = {"cellId": "a"}
    shell = SimpleNamespace(get_parent=lambda: {"metadata": current}, execution_count=0)
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    monkeypatch.setattr(show.Renderer, "carrier", None)
    monkeypatch.setattr(show.Renderer, "carried", None)

    def runs(name: str) -> None:
        current["cellId"] = name
        shell.execution_count += 1

    return runs


def test_a_bundle_is_plotlys_json_a_page_part_and_the_alt_sentence_escaped(cell):
    made = figure(HOSTILE)
    bundle = show.Renderer().to_mimebundle(made.to_dict())
    assert set(bundle) == {"application/vnd.plotly.v1+json", "text/html", "text/plain"}
    assert bundle["text/plain"] == plot.alt(made) and html.escape(HOSTILE) in bundle["text/html"]
    options = bundle["application/vnd.plotly.v1+json"]["config"]["toImageButtonOptions"]
    assert options["filename"] == "chr20_1000-1099"
    found = Elements(bundle["text/html"])
    assert [tag for tag, _ in found.tags] == ["div", "noscript", "script", "script"]
    assert found.tags[0][1]["role"] == "img" and found.tags[0][1]["aria-label"] == plot.alt(made)
    packed = re.search(r'"([A-Za-z0-9+/=]{200,})"', "".join(found.scripts))
    drawn = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    assert drawn["layout"]["title"]["text"].startswith("&lt;/script&gt;") and len(drawn["data"]) == len(made.data)


def test_the_first_cell_carries_plotlyjs_once_and_again_when_it_runs_again(cell):
    drawn = figure().to_dict()

    def carries() -> bool:
        # plotly copies the renderer for each figure.
        part = show.Renderer().to_mimebundle(drawn)["text/html"]
        return bool(Elements(part).scripts[0].strip().startswith("H4sI"))

    seen = []
    for name in ("a", "b", "a", "c"):
        cell(name)
        # A cell of several figures carries it in the first.
        seen.append((carries(), carries()))
    assert seen == [(True, False), (False, False), (True, False), (False, False)]


@pytest.mark.parametrize(
    ("before", "variable", "after"),
    [("plotly_mimetype", None, "ntviz"), ("browser", None, "browser"), ("plotly_mimetype", "plotly_mimetype", "plotly_mimetype")],
)  # fmt: skip
def test_the_users_choice_of_a_renderer_stays(monkeypatch, before, variable, after):
    default = pio.renderers.default
    monkeypatch.delenv("PLOTLY_RENDERER", raising=False)
    if variable:
        monkeypatch.setenv("PLOTLY_RENDERER", variable)
    try:
        pio.renderers.default = before
        show.install()
        assert pio.renderers.default == after and isinstance(pio.renderers["ntviz"], show.Renderer)
    finally:
        pio.renderers.default = default


def test_a_page_asks_the_network_for_nothing_and_carries_plotlyjs_once():
    found = Elements(show.page(figure(HOSTILE), figure(), title=HOSTILE))
    assert "img" not in [tag for tag, _ in found.tags]
    assert not any({"src", "href", "srcset", "onerror"} & set(attributes) for _, attributes in found.tags)
    [policy] = [attributes["content"] for _, attributes in found.tags if "http-equiv" in attributes]
    assert "default-src 'none'" in policy
    assert sum(script.strip().startswith("H4sI") for script in found.scripts) == 1
    assert not any(re.search(r"fetch\(|XMLHttpRequest|import\(", script) for script in found.scripts)


@pytest.mark.parametrize(("layout", "alt", "name"), [
    ({"meta": {"alt": "A sentence.", "name": "chr20:1-9 / x"}}, "A sentence.", "chr20_1-9_x"),
    ({"title": {"text": "Mine"}}, "Mine", "Mine"),
    ({}, "Figure", "Figure"),
])  # fmt: skip
def test_figures_of_the_users_own_have_words_and_a_file_name(layout, alt, name):
    for own in (go.Figure(layout=layout), {"data": [], "layout": layout}):
        assert plot.alt(own) == alt
        config = show.as_json(own)["config"]
        assert config["toImageButtonOptions"]["filename"] == name
        # By default plotly.js has a button that sends the data to a server.
        assert (config["showSendToCloud"], config["plotlyServerURL"]) == (False, "")


def test_save_writes_the_format_of_the_ending_and_refuses_others(tmp_path, monkeypatch):
    made, starts = figure(), {".html": "<!doctype html>", ".json": '{"data"', ".tsv": "trace\tx\ty"}
    for name in ("figure.html", "figure.tsv", "FIGURE.JSON"):
        path = plot.save(made, tmp_path / "new folder" / name)
        assert path.read_text().startswith(starts[path.suffix.lower()])
    assert sorted(os.listdir(path.parent)) == ["FIGURE.JSON", "figure.html", "figure.tsv"]
    assert pio.read_json(path).layout.meta["alt"] == plot.alt(made)
    endings = r"one of \.html, \.json, \.tsv, \.svg, \.png, \.pdf; received .*Change the ending"
    for name in ("figure.gif", "figure"):
        with pytest.raises(ValueError, match=endings):
            plot.save(made, tmp_path / name)
    assert os.listdir(tmp_path) == ["new folder"]
    monkeypatch.setattr(show, "_browser", lambda: "ChromeNotFoundError: none here")
    (tmp_path / "figure.svg").write_text("old")
    needs = r"\.svg must be drawn by kaleido in a Chromium; received ChromeNotFoundError.*or save as \.html"
    with pytest.raises(plot.NoPicture, match=needs):
        plot.save(made, tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text() == "old"


def test_a_full_disk_leaves_the_figure_that_was_there(tmp_path):
    (tmp_path / "figure.json").write_text("old")
    large, before = go.Figure(go.Scatter(y=list(range(4000)))), resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on the size of files makes real writes fail as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        for ending in ("html", "json"):
            with pytest.raises(OSError, match="File too large"):
                plot.save(large, tmp_path / f"figure.{ending}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["figure.json"] and (tmp_path / "figure.json").read_text() == "old"


def test_a_table_holds_the_values_of_what_has_a_name():
    made = go.Figure([
        go.Scatter(x=[1, 2], y=[3.0, 4.0], text=["a", "b"], name="points"), go.Scatter(x=[9], y=[9]),
        go.Scatter(x=[7], y=[7], name="A", meta="letters"), go.Scatter(y=np.array([5.0, 6.0]), x0=10, dx=-1, name="line"),
        go.Heatmap(z=[[1, np.nan], [3, 4]], x=[20, 21], y0=0.5, name="map"),
    ])  # fmt: skip
    table = plot.table(made)
    assert table["trace"].tolist() == ["points"] * 2 + ["line"] * 2 + ["map"] * 3
    assert table["x"].tolist() == [1, 2, 10, 9, 20, 20, 21] and table["z"].dropna().tolist() == [1, 3, 4]
    assert table["y"].tolist() == [3, 4, 5, 6, 0.5, 1.5, 1.5]
    assert plot.table(go.Figure()).columns.tolist() == ["trace", "x", "y"]


# Machado, Oliveira, Fernandes (2009), severity 1.0, applied to linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def lab(colour: str, vision: str) -> np.ndarray:
    """CIELAB (D65) of a colour as an eye sees it."""
    seen = np.clip(np.array(VISION[vision]) @ linear(rgb(colour)), 0, 1)
    xyz = np.array(TO_XYZ) @ seen / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def against(colour: str, paper: str) -> float:
    return contrast(rgb(colour), rgb(paper))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_ink_lines_and_bases_are_seen_on_their_ground(theme):
    assert min(against(colour, theme.paper) for colour in (theme.ink, theme.muted)) >= 4.5
    thin = {name: getattr(theme, name) for name in ("control", "gene", "accent", "positive", "negative")}
    for name, colour in [*thin.items(), *enumerate(theme.lines)]:
        assert against(colour, theme.paper) >= 3, name
    assert min(against(colour, theme.paper) for colour in theme.bases.values()) >= 2


@pytest.mark.parametrize("vision", list(VISION))
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_bases_and_signs_stay_apart_for_colour_blind_readers(theme, vision):
    letters = [theme.bases[base] for base in "ACGT"]
    for some, least in ((letters, 12), ([theme.positive, theme.negative], 25)):
        seen = [lab(colour, vision) for colour in some]
        assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > least


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_magnitudes_grow_from_the_ground_and_signs_are_centred_on_it(theme):
    steps = [against(colour, theme.paper) for colour in theme.magnitudes]
    assert steps == sorted(steps) and steps[0] < 1.2 and against(theme.signs[2], theme.paper) < 1.05
    assert len(theme.lines) == len(DASHES) == len(MARKERS)


def test_dark_colours_replace_light_ones_one_to_one(light):
    table = darkened()
    assert len(table) == sum(len(value) if not isinstance(value, str) else 1 for value in vars(LIGHT).values())
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for pair in table.items() for colour in pair)
    made = figure().to_json()
    plot.theme("dark")
    assert colours() is DARK
    assert re.sub(r"#[0-9a-f]{6}", lambda found: darkened()[found[0]], made) == figure().to_json()
    with pytest.raises(ValueError, match="'light' or 'dark'; received 'blue'"):
        plot.theme("blue")


def test_the_frame_adds_titles_and_caption_and_words_are_as_people_read_them():
    alt = "Which <b>? chr1:1-9. The largest is 3 < 4."
    layout = framed(go.Figure(), title="Which <b>?", subtitle="chr1:1-9", alt=alt, height=300).layout
    (caption,) = layout.annotations
    assert (layout.title.text, caption.text) == ("Which &lt;b&gt;?", "The largest is 3 &lt; 4.")
    assert layout.height == 300 + layout.margin.t + layout.margin.b
    assert layout.meta == {"alt": alt, "name": "Which <b>?"}
    assert framed(go.Figure(), title="t " * 200, alt="a", height=10).layout.margin.t > layout.margin.t
    texts = {0.0123456: "0.0123", 102e6: "102,000,000", -0.5: "−0.5", 1e-5: "1e−5", 999.6: "1,000", 0: "0"}
    assert [words.number(value) for value in (*texts, np.nan)] == [*texts.values(), "no value"]
    assert (words.span(999, 2000), words.span(999, 1000)) == ("1,000–2,000", "1,000")
    assert words.listing(["A", "B"]) == "A and B"
    assert words.listing(list("ABCDEF"), most=3) == "A, B, C and 3 more"


def test_a_chromium_that_never_answers_costs_its_patience_once(monkeypatch, tmp_path):
    waiting, calls = threading.Event(), []
    monkeypatch.setattr(show, "_browser", lambda: "")
    monkeypatch.setattr(show, "PATIENCE", 0.2)
    monkeypatch.setattr(show, "_silent", [])
    monkeypatch.setattr(kaleido, "calc_fig_sync", lambda *_, **__: (calls.append(1), waiting.wait(30)))
    for _ in range(2):
        with pytest.raises(plot.NoPicture, match=r"no answer of Chromium within 0\.2 s"):
            plot.save(go.Figure(), tmp_path / "x.svg")
    waiting.set()
    assert len(calls) == 1 and not list(tmp_path.iterdir())
