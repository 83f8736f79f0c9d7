"""The live figure and the toolbar without a browser: what is sent, what is heard, and what a notebook keeps."""

from __future__ import annotations

import asyncio
import gzip
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest

from ntviz.explore.toolbar import Explorer
from ntviz.plot import live as module
from ntviz.plot.live import Live, library, present
from ntviz.plot.theme import DARK, LIGHT


def figure(**layout: Any) -> go.Figure:
    return go.Figure(go.Scatter(y=np.arange(3.0), name="toy"), layout={"meta": {"alt": "A toy."}, **layout})


def test_the_first_state_draws_without_a_message_and_another_figure_keeps_the_zoom():
    live = Live(figure())
    state = live.get_state()
    # Arrays of numbers are plotly's base64, positions of genomes without rounding.
    assert state["figure"]["data"][0]["y"]["dtype"] == "f8"
    places = Live(go.Figure(go.Scatter(x=np.array([43_029_701])), layout={"meta": {"alt": ""}}))
    assert places.figure["data"][0]["x"]["dtype"] == "i4"
    assert state["figure"]["layout"]["uirevision"] == 1 and state["alt"] == "A toy."
    assert state["_model_module_version"] == state["_view_module_version"] == "*"
    assert state["dark"][LIGHT.paper] == DARK.paper and state["library"] == f"IPY_MODEL_{library().model_id}"
    assert b"plotly.js" in gzip.decompress(library().code)[:200] and library() is library()
    # plotly.js asks for its address to reach the real model.
    assert state["address"] == live.model_id
    live.show(figure(title="second"))
    assert (live.figure["revision"], live.figure["layout"]["uirevision"]) == (2, 1)
    live.show(figure(), whole=True)
    assert live.figure["layout"]["uirevision"] == 2 and live.still.layout.title.text is None


def test_events_reach_those_who_asked_and_are_answered(monkeypatch):
    live, heard, sent, again = Live(figure()), [], [], []
    monkeypatch.setattr(live, "send", sent.append)
    monkeypatch.setattr(live, "send_state", again.append)
    live.on("click", heard.append)
    live._heard(None, {"kind": "click", "x": 3}, [])
    assert heard == [{"kind": "click", "x": 3}] and sent == [{"done": True}]
    live.on("click", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        live._heard(None, {"kind": "click"}, [])
    assert sent == [{"done": True}] * 2
    live._heard(None, {"kind": "drawn", "revision": 1}, [])
    assert again == []
    live.show(figure())
    again.clear()
    live._heard(None, {"kind": "drawn", "revision": 1}, [])
    assert again == [["figure", "alt"]]


@pytest.fixture
def outputs(monkeypatch) -> list[dict[str, Any]]:
    """What a cell shows, by output; an update puts another in its place."""
    shown: list[dict[str, Any]] = []

    def display(data: dict[str, Any], *, raw: bool, display_id: bool = False) -> SimpleNamespace | None:
        shown.append(data)
        at = len(shown) - 1
        return SimpleNamespace(update=lambda data, raw: shown.__setitem__(at, data)) if display_id else None

    monkeypatch.setattr("IPython.display.display", display)
    return shown


@pytest.mark.parametrize("first", [True, False])
def test_the_still_figure_comes_first_and_the_widget_when_the_page_is_alive(monkeypatch, outputs, first):
    monkeypatch.setattr(module.show.Renderer, "first", lambda: first)
    live = Live(figure())
    box = ipywidgets.VBox([live])
    present(box, live)
    *before, still, place = outputs
    assert [">H4sI" in output["text/html"] for output in before] == [True] * first
    assert still["text/plain"] == "A toy." and ">H4sI" not in still["text/html"]
    assert place == {"text/plain": ""}
    live._heard(None, {"kind": "alive"}, [])
    assert outputs[-1]["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id


def test_the_still_figure_follows_once_after_a_burst(monkeypatch, outputs):
    monkeypatch.setattr(module.show.Renderer, "first", lambda: False)
    monkeypatch.setattr(module, "IDLE", 0.05)
    kept: list[str] = []

    def title(output: dict[str, Any]) -> str:
        return output["application/vnd.plotly.v1+json"]["layout"]["title"]["text"]

    async def use() -> None:
        live = Live(figure())
        live.show(figure(title="nowhere"))
        await asyncio.sleep(0.1)
        present(live, live)
        update, live.kept.update = live.kept.update, lambda data, raw: kept.append(title(data))
        for name in ("being computed", "half", "done"):
            live.show(figure(title=name))
            await asyncio.sleep(0.01)
        assert kept == []
        await asyncio.sleep(0.1)
        live.kept.update = update
        live.keep()

    # A thread has no loop yet; the browser tests leave one in this one.
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, use()).result()
    assert kept == ["done"] and title(outputs[0]) == "done"


class Counter(Explorer):
    def __init__(self) -> None:
        self.at = 0

    @property
    def where(self) -> str:
        return f"number {self.at}"

    def _go(self, what: Any) -> None:
        if not str(what).split()[-1].isdecimal():
            raise ValueError(f"A place must be a number; received {what!r}.")
        self.at = int(str(what).split()[-1])

    def figure(self) -> go.Figure:
        return figure(title=self.where)

    def code(self) -> str:
        return f"number = {self.at}  # <b>"

    def add_file(self, name: str, text: str) -> str:
        return f"{name}: {text}"


def test_a_toolbar_goes_back_answers_in_place_and_reads_files_zipped_too(monkeypatch, tmp_path):
    view = Counter()
    bar = view.toolbar
    assert view.widget.children == (bar.box, view.live, bar.message)
    bar.place.value = "5"
    assert (view.at, bar.place.value, view.live.still.layout.title.text) == (5, "number 5", "number 5")
    bar.place.value = "<b>five"
    assert "received &#x27;&lt;b&gt;five&#x27;" in bar.message.value
    assert (view.at, bar.place.value) == (5, "number 5")
    view.go(7)
    for at in (5, 0, 0):
        view.back()
        assert view.at == at
    bar.show_code()
    assert "number = 0  # &lt;b&gt;" in bar.message.value
    zipped = gzip.compress(b"text")
    for name, content, answer in (
        ("a.bed", b"text", "a.bed: text"), ("a.bed.gz", zipped, "a.bed: text"), ("a.bed.gz", zipped[:-9], "border-left"),
    ):  # fmt: skip
        bar._added({"new": ({"name": name, "content": memoryview(content)},)})
        assert answer in bar.message.value
    monkeypatch.chdir(tmp_path)
    bar.save.value = ".html"
    assert (tmp_path / "number_0.html").read_text().startswith("<!doctype html>") and bar.save.value == ""
    with pytest.raises(ValueError, match=r"\.html, \.json.*received 'a.docx'"):
        view.save(tmp_path / "a.docx")
