"""The HTML report: opened offline in a real browser, escaped, readable, with nothing fetched."""

from __future__ import annotations

import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from ntviz.runs import report
from ntviz.runs.manifest import Manifest

PLANTED = "<script>window.planted = true</script><img src=x onerror='window.planted = true'>"
OPEN = "document.querySelectorAll('details').forEach(element => element.open = true)"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElFTkSuQmCC"


def notebook(*cells):
    """Markdown of texts, and code cells of a source and its outputs."""
    v4 = nbformat.v4
    made = [
        v4.new_markdown_cell(cell)
        if isinstance(cell, str)
        else v4.new_code_cell(cell[0], outputs=list(cell[1:]), execution_count=1)
        for cell in cells
    ]
    return v4.new_notebook(cells=made)


def shown(**data):
    bundle = {name.replace("_", "/", 1): value for name, value in data.items() if name != "metadata"}
    return nbformat.v4.new_output("display_data", bundle, metadata=data.get("metadata", {}))


def printed(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def raised(name, message, *traceback):
    return nbformat.v4.new_output("error", ename=name, evalue=message, traceback=list(traceback))


def facts(**changes):
    usual = {"status": "ok", "notebook": "toy", "title": "What is it?", "profile": "ci", "seconds": 3.2}
    return Manifest(**usual | changes)


@pytest.fixture
def opened(browser, tmp_path):
    """Open a report in a browser without network; gives the page, and everything that was asked for or complained of."""
    contexts = []

    def look(html, **options):
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        contexts.append(context := browser.new_context(offline=True, **options))
        page, complaints, asked = context.new_page(), [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(path.as_uri())
        complaints += [url for url in asked if not url.startswith(("file:", "data:"))]
        return page, complaints

    yield look
    for context in contexts:
        context.close()


def test_a_report_is_one_file_that_a_browser_shows_offline(opened):
    content = notebook(
        "# What is *it*?\n\nA lesson.",
        ("import numpy as np\nx = 1",),
        "## First",
        ("figure", shown(image_png=PNG, text_plain="<Figure size 10x10>")),
        "## Second",
        ("ours", shown(text_html=f'<figure><img alt="A line." src="data:image/png;base64,{PNG}"></figure>')),
        "## Third",
        ("print", printed("hello \x1b[31mred\x1b[0m\n")),
    )
    before = nbformat.writes(content)
    page, complaints = opened(report.render(content, facts()))
    assert complaints == []
    assert page.title() == "What is it?"
    assert page.locator("h1").all_inner_texts() == ["What is it?"]
    assert page.locator("nav a").all_inner_texts() == ["First", "Second", "Third"]
    code = page.locator("details.code")
    assert code.count() == 4
    assert not code.first.evaluate("element => element.open")
    assert not page.locator("pre", has_text="import numpy").is_visible()
    page.locator("details.code summary").first.click()
    assert page.locator("pre", has_text="import numpy").is_visible()
    images = page.locator("img")
    assert images.count() == 2
    for image in images.all():
        assert image.evaluate("element => element.naturalWidth") == 10
        assert image.get_attribute("alt").strip()
    assert images.first.get_attribute("alt") == "First: figure of cell 4"
    assert "hello red" in page.locator("pre.stream").inner_text()
    assert nbformat.writes(content) == before


def test_nothing_is_fetched(opened):
    outside = "https://example.org"
    content = notebook(
        f"# What?\n\n![elsewhere]({outside}/a.png) and a [link]({outside}/page)",
        ("a", shown(text_html=f'<script src="{outside}/b.js"></script><link rel="stylesheet" href="//example.org/c.css">')),
        ("b", shown(text_html=f'<iframe src="{outside}/d"></iframe><img srcset="{outside}/e.png 2x"><object data="f.svg"></object>')),
        ("c", shown(text_html=f'<div style="background: url({outside}/g.png); color: red">styled</div>')),
        ("e", shown(text_html=f'<style>@import "{outside}/h.css"; p {{ background: url( "{outside}/i.png" ) }}</style>')),
        ("f", shown(text_html='<div style="background: url(data:image/png;base64,AA==)">kept</div>')),
        ("d", shown(**{"application_javascript": "window.planted = true", "text_plain": "a script"})),
    )  # fmt: skip
    html = report.render(content, facts())
    page, complaints = opened(html)
    assert complaints == []
    assert "url(data:image/png" in html
    assert "color: red" in html
    assert page.locator(".omitted").count() == 6
    assert f"{outside}/a.png" in page.locator(".omitted").first.inner_text()
    assert page.locator(f'a[href="{outside}/page"]').count() == 1
    assert page.evaluate("window.planted") is None
    assert not re.search(r'(?:src|srcset|data)="(?!data:)', html)


def test_planted_scripts_are_text_everywhere(opened):
    content = notebook(
        "# What?",
        (f"gene = {PLANTED!r}", shown(text_plain=repr(PLANTED))),
        ("table", shown(text_html=pd.DataFrame({PLANTED: [PLANTED]}).to_html(), text_plain="")),
        ("markdown", shown(text_markdown=f"The gene **{PLANTED}**", text_plain="")),
        ("print", printed(PLANTED)),
        ("log", printed(PLANTED, "stderr")),
        ("picture", shown(image_png=PNG, text_plain=PLANTED, metadata={"image/png": {"alt": f'"{PLANTED}'}})),
        ("latex", shown(text_latex=PLANTED)),
        ("1/0", raised(PLANTED, PLANTED, PLANTED)),
    )
    content.cells[1].metadata["tags"] = [f'"{PLANTED}']
    texts = dict.fromkeys(("notebook", "title", "profile", "kernel", "device"), PLANTED)
    planted = facts(
        status="failed", **texts, parameters={PLANTED: PLANTED}, given=[PLANTED], metrics={PLANTED: PLANTED},
        models=[{"name": PLANTED, "revision": PLANTED}], data=[{"path": PLANTED, "bytes": 3, "sha256": PLANTED}],
        versions={PLANTED: PLANTED}, ntviz={"version": PLANTED, "commit": PLANTED, "modified": True}, job={PLANTED: PLANTED},
        environment={PLANTED: PLANTED}, command=[PLANTED], tables=[PLANTED], git={"commit": PLANTED, "modified": True},
        machine={"processor": PLANTED, "cores": 2, "gpus": [{"name": PLANTED, "memory": "", "driver": ""}]},
        error={"cell": 9, "cell_id": content.cells[-1].id, "name": PLANTED, "message": PLANTED},
    )  # fmt: skip
    page, complaints = opened(report.render(content, planted))
    page.evaluate(OPEN)
    assert page.evaluate("window.planted") is None
    assert complaints == []
    assert page.locator("script").count() == 0
    assert page.locator("img").count() == 1
    assert PLANTED in page.locator("h1").inner_text()
    assert page.title() == PLANTED


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_can_be_read_in_both_themes(opened, scheme):
    content = notebook(
        "# What?\n\nSome text with `code` and a [link](#a).",
        ("def f():  # comment\n    return 'text' + str(1.5)",),
        ("raise", raised("E", "m", "\x1b[38;5;28mgreen\x1b[39m \x1b[31mred\x1b[0m")),
        ("log", printed("careful", "stderr")),
    )
    error = {"cell": 3, "cell_id": "", "name": "E", "message": "m"}
    failed = facts(status="failed", parameters={"a": 1}, metrics={"loss": 1.0}, error=error)
    page, _ = opened(report.render(content, failed), color_scheme=scheme)
    page.evaluate(OPEN)
    dark = scheme == "dark"
    assert (brightness(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.1) is dark
    weak = page.evaluate(WEAKEST)
    assert weak["ratio"] >= 4.5, weak


def brightness(color):
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", color)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# The lowest contrast of any piece of text with what is behind it, by the formula of WCAG 2.
WEAKEST = """() => {
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = parts(getComputedStyle(element).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  let worst = {ratio: 99};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst.ratio) worst = {ratio, text: walker.currentNode.data.trim(), tag: element.outerHTML.slice(0, 80)};
  }
  return worst;
}"""


def test_a_phone_needs_no_sideways_scrolling(opened):
    wide = pd.DataFrame({f"a_long_column_{number}": [1.0] for number in range(30)})
    content = notebook(
        "# What?",
        ("x" * 300, shown(text_html=wide.to_html(), text_plain="")),
        ("p", shown(text_plain="y" * 900)),
    )
    html = report.render(content, facts(parameters={"sequence": "ACGT" * 200}))
    page, _ = opened(html, viewport={"width": 390, "height": 800})
    page.evaluate(OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_header_tells_what_ran(opened):
    full = facts(
        seconds=75.0, device="cuda (H200)", peak_memory_bytes=1_500_000_000, gpu_peak_memory_bytes=2_000_000,
        parameters={"chrom": "20", "window": 1000}, given=["window"],
        metrics={"loss": 7.61234567, "tokens": 1_234_567, "note": "fine", "curve": [1, 2]},
        models=[{"name": "ntviz-mini", "revision": "abc", "sha256": "f" * 64}],
        data=[{"path": "data/x.fa", "bytes": 63_000_000, "sha256": "e" * 64}, {"path": "/dev/fd/9", "bytes": None, "sha256": None}],
        git={"commit": "c" * 40, "modified": True}, versions={"torch": "2.13.0"}, threads=2, job={"SLURM_JOB_ID": "77"},
        ntviz={"version": "0.1.0", "commit": "d" * 40, "modified": False}, environment={"HF_HUB_OFFLINE": "1"},
        command=["ntviz", "run", "my notebook.ipynb"],
        machine={"processor": "EPYC", "cores": 2, "memory_bytes": 24e9, "gpus": []},
    )  # fmt: skip
    page, _ = opened(report.render(notebook("# What?"), full))
    header = page.locator("header.top")
    status = header.locator(".status").inner_text()
    memory = ("1.5 GB of memory at the peak", "2.0 MB on the GPU")
    for words in ("Finished", "profile ci", "1:15", "cuda (H200)", *memory):
        assert words in status
    assert header.locator(".metrics dt").all_inner_texts() == ["loss", "tokens", "note"]
    assert header.locator(".metrics dd").all_inner_texts() == ["7.612", "1,234,567", "fine"]
    assert header.locator("tr.given").inner_text().split("\t") == ["window", "1000", "this run"]
    header.locator("summary", has_text="What ran").click()
    text = header.inner_text()
    about = ("ntviz-mini, revision abc, sha256 ffffffffffffffff", "data/x.fa, 63.0 MB", "EPYC, 2 cores, 24.0 GB")
    ours = ("0.1.0, commit " + "d" * 40, "SLURM_JOB_ID 77", "HF_HUB_OFFLINE 1", "ntviz run 'my notebook.ipynb'")
    about += (*ours, "/dev/fd/9, a pipe, which is not kept", "threads\t2")
    for words in (*about, "c" * 40 + ", with local changes", "torch 2.13.0"):
        assert words in text


def test_the_answer_is_the_first_line_and_numbers_fold_beneath_its_chips(opened):
    given = facts(answer="A donor of 0.99.", chips={"donor": "0.99 (shuffled 0.00)"}, metrics={"loss": 1.5})
    page, complaints = opened(report.render(notebook("# What?"), given))
    assert complaints == []
    header = page.locator("header.top")
    assert header.locator("h1 + p").inner_text() == "A donor of 0.99."
    visible = [chip.inner_text() for chip in header.locator(".metrics dt").all() if chip.is_visible()]
    assert visible == ["donor"]
    header.locator("summary", has_text="All recorded numbers").click()
    assert header.locator(".metrics dd").last.inner_text() == "1.5"
    assert header.locator(".metrics dd").last.is_visible()


def test_a_failed_run_leads_to_its_cell(opened):
    content = notebook("# What?", ("1 / 0", raised("ZeroDivisionError", "no", "tb")))
    error = {"cell": 2, "cell_id": content.cells[1].id, "name": "ZeroDivisionError", "message": "no"}
    page, _ = opened(report.render(content, facts(status="failed", error=error)))
    assert "Failed in cell 2" in page.locator("[role=alert]").inner_text()
    page.locator("[role=alert] a").click()
    assert page.url.endswith("#failed")
    assert page.locator("#failed details.code").evaluate("element => element.open")


def test_outputs_that_only_a_kernel_can_show_leave_their_words():
    view = "application/vnd.jupyter.widget-view+json"
    widget = {view: {"model_id": "1"}, "text/plain": "IntSlider(value=3)"}
    content = notebook(
        "# What?",
        ("w", nbformat.v4.new_output("display_data", widget)),
        ("v", nbformat.v4.new_output("display_data", {"application/vnd.plotly.v1+json": {}})),
    )
    html = report.render(content, facts())
    assert "IntSlider(value=3)" in html
    assert "an output that cannot be shown in a report: application/vnd.plotly.v1+json" in html


def test_titles():
    assert report.title_of(notebook("text", "## Two\n# The `real` *one* #\n")) == "The real one"
    assert report.title_of(notebook(("# a comment",))) == ""
    assert "<title>toy</title>" in report.render(notebook(("1",)), facts(title=""))


def test_matplotlib_and_torch_are_not_needed_for_a_report():
    code = "import sys; from ntviz.runs import report; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
