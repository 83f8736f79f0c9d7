"""The live figure and the toolbar without a browser: what is sent, what is heard, and what a notebook keeps."""

from __future__ import annotations

import gzip
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest

from ntviz.explore.toolbar import Explorer
from ntviz.plot import live as module
from ntviz.plot.live import Live, library, packed, present
from ntviz.plot.theme import DARK, LIGHT


def figure(**layout: Any) -> go.Figure:
    return go.Figure(go.Scatter(y=np.arange(3.0), name="toy"), layout={"meta": {"alt": "A toy."}, **layout})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(6, dtype=np.float32).reshape(2, 3), "f4"),
        (np.arange(6, dtype=np.uint8), "u1"),
        (np.arange(6), "i4"),
        (np.array([2**40, 1]), "f8"),
        (np.zeros(0, dtype=np.int64), "i4"),
    ],
)
def test_arrays_travel_as_bytes_that_plotly_reads(values, kind):
    sent = packed({"z": [values]})["z"][0]
    assert sent["dtype"] == kind
    assert sent["shape"] == ",".join(map(str, values.shape))
    np.testing.assert_array_equal(np.frombuffer(sent["bdata"], sent["dtype"]).reshape(values.shape), values)


def test_what_has_no_bytes_stays_plain():
    assert packed({"a": np.array(["x", "y"]), "b": (np.float64(1.5), None), "c": np.array([1], np.float16)}) == {
        "a": ["x", "y"], "b": [1.5, None], "c": [1.0],
    }  # fmt: skip


def test_the_first_state_draws_without_a_message():
    live = Live(figure())
    state = live.get_state()
    assert state["figure"]["data"][0]["y"]["dtype"] == "f8"
    assert state["figure"]["layout"]["uirevision"] == 1
    assert state["alt"] == "A toy."
    assert state["_model_module_version"] == state["_view_module_version"] == "*"
    assert state["dark"][LIGHT.paper] == DARK.paper
    assert state["library"] == f"IPY_MODEL_{library().model_id}"
    assert b"plotly.js" in gzip.decompress(library().code)[:200]
    assert library() is library()
    # plotly.js asks for its address to reach the real model.
    assert state["address"] == live.model_id


def test_another_figure_keeps_the_zoom_unless_it_is_another_whole():
    live = Live(figure())
    live.show(figure(title="second"))
    assert (live.figure["revision"], live.figure["layout"]["uirevision"]) == (2, 1)
    live.show(figure(), whole=True)
    assert live.figure["layout"]["uirevision"] == 2
    assert live.still.layout.title.text is None


def test_events_reach_those_who_asked_and_are_answered(monkeypatch):
    live, heard, sent, again = Live(figure()), [], [], []
    monkeypatch.setattr(live, "send", sent.append)
    monkeypatch.setattr(live, "send_state", again.append)
    live.on("click", heard.append)
    live._heard(None, {"kind": "click", "x": 3}, [])
    assert heard == [{"kind": "click", "x": 3}]
    assert sent == [{"done": True}]

    def fail(_: Any) -> None:
        raise RuntimeError("no")

    live.on("click", fail)
    with pytest.raises(RuntimeError, match="no"):
        live._heard(None, {"kind": "click"}, [])
    # The page must not wait for ever, whatever went wrong here.
    assert sent == [{"done": True}] * 2
    live._heard(None, {"kind": "drawn", "revision": 1}, [])
    assert again == []
    live.show(figure())
    again.clear()
    live._heard(None, {"kind": "drawn", "revision": 1}, [])
    assert again == [["figure", "alt"]]


def test_the_still_figure_comes_first_and_the_widget_when_the_page_is_alive(monkeypatch):
    shown: list[Any] = []
    monkeypatch.setattr(module.pio, "show", lambda figure, renderer: shown.append((figure, renderer)))

    class Place:
        display_id = "here"

    def display(data: Any, **_: Any) -> Place:
        shown.append(data)
        return Place()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("IPython.display.update_display", lambda data, **options: shown.append((data, options["display_id"])))
    live = Live(figure())
    box = ipywidgets.VBox([live])
    present(box, live)
    assert shown == [(live.still, "ntviz"), {"text/plain": ""}]
    live._heard(None, {"kind": "alive"}, [])
    data, where = shown[-1]
    assert where == "here"
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id


# Explorers ------------------------------------------------------------------------------------------------------------


class Counter(Explorer):
    """A view of one number, which places name."""

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


def test_a_toolbar_goes_back_and_answers_in_place():
    view = Counter()
    assert view.widget.children == (view.toolbar.box, view.live, view.toolbar.message)
    bar = view.toolbar
    bar.place.value = "5"
    assert (view.at, bar.place.value, view.live.still.layout.title.text) == (5, "number 5", "number 5")
    bar.place.value = "<b>five"
    assert "received &#x27;&lt;b&gt;five&#x27;" in bar.message.value
    assert (view.at, bar.place.value) == (5, "number 5")
    view.go(7)
    view.back()
    assert view.at == 5
    view.back()
    view.back()
    assert view.at == 0
    bar.show_code()
    assert "number = 0  # &lt;b&gt;" in bar.message.value


def test_files_are_read_zipped_too(monkeypatch, tmp_path):
    view = Counter()
    assert view.widget is not None
    for name, content in (("a.bed", b"text"), ("a.bed.gz", gzip.compress(b"text"))):
        view.toolbar._added({"new": ({"name": name, "content": memoryview(content)},)})
        assert "a.bed: text" in view.toolbar.message.value
    view.toolbar._added({"new": ({"name": "a.bed.gz", "content": memoryview(gzip.compress(b"text")[:-9])},)})
    assert "border-left" in view.toolbar.message.value
    monkeypatch.chdir(tmp_path)
    view.toolbar.save.value = ".html"
    assert (tmp_path / "number_0.html").read_text().startswith("<!doctype html>")
    assert view.toolbar.save.value == ""
    with pytest.raises(ValueError, match=r"\.html, \.json.*received 'a.docx'"):
        view.save(tmp_path / "a.docx")
