"""The page of all runs, opened offline in both themes: each sample leads to its report, and what failed says why."""

from __future__ import annotations

import numpy as np
import pytest

from ntviz.runs import collect
from ntviz.runs.manifest import Manifest

HOSTILE = '</pre><script>window.planted=1</script><img src=x onerror="window.planted=1">'


@pytest.fixture
def page(tmp_path):
    """A page of four runs, in folders whose names need care in an address, with a script planted where text is."""
    folder = tmp_path / "out"
    error = {"cell": 4, "cell_id": "x", "name": "ValueError", "message": f"no kidney {HOSTILE}"}
    for name, facts in {
        "liver #1": {"status": "ok", "seconds": 312.0, "metrics": {"heads": 12}, "parameters": {"gene": "HNF4A"}},
        "50%25 brain": {"status": "ok", "seconds": 2.5, "metrics": {"heads": 3}, "parameters": {"gene": HOSTILE}},
        "kidney": {"status": "failed", "error": error},
        "heart": {"status": "interrupted", "parameters": {"gene": "TBX5"}},
    }.items():
        place = folder / name
        place.mkdir(parents=True)
        Manifest(notebook="30_attention", started="2026-11-26T08:00:00+00:00", **facts).write(place)
        if name != "heart":
            (place / "report.html").write_text(f"<!DOCTYPE html><title>of {name}</title><p>report")
    return collect.save_index(collect.runs(folder), folder / "index.html", title="A study <of> organs")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_run_leads_to_its_report_and_failures_say_why(page, open_offline, scheme):
    opened = open_offline(page, color_scheme=scheme)
    seen = opened.page
    assert seen.title() == "A study <of> organs"
    assert seen.locator(".tally").inner_text().split() == ["Failed", "1", "Interrupted", "1", "Finished", "2"]
    rows = seen.locator("tbody tr:not(.why)").all_inner_texts()
    assert [row.split("\t")[1] for row in rows] == ["kidney", "heart", "50%25 brain", "liver #1"]
    assert seen.locator("thead th").all_inner_texts()[-2:] == ["gene", "heads"]
    assert seen.locator("tr.why").all_inner_texts() == [f"cell 4: ValueError: no kidney {HOSTILE}"]
    assert seen.evaluate("window.planted") is None
    dark = seen.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    assert dark == (scheme == "dark")
    nodes = "[...document.querySelectorAll('.badge, .why pre, td')]"
    for colour in seen.evaluate(f"() => {nodes}.map(node => getComputedStyle(node).color)"):
        channels = [int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(", ")]
        assert (np.dot([0.2126, 0.7152, 0.0722], channels) > 128) == dark
    for width in (390, 1200):
        seen.set_viewport_size({"width": width, "height": 800})
        assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert seen.locator("tr.why pre").evaluate("node => node.getBoundingClientRect().right <= innerWidth")
    opened.clean()
    links = seen.locator("tbody a")
    assert links.all_inner_texts() == ["kidney", "50%25 brain", "liver #1"]
    for number, name in enumerate(links.all_inner_texts()):
        links.nth(number).click()
        seen.wait_for_load_state()
        assert seen.title() == f"of {name}"
        seen.go_back()


def test_without_runs_it_says_so(tmp_path, open_offline):
    opened = open_offline(collect.save_index(collect.runs(tmp_path), tmp_path / "index.html", title="Nothing yet"))
    assert "There is no run here yet." in opened.page.locator("main").inner_text()
    opened.clean()
