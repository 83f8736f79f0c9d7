"""`ntviz report`: a card for each variant with numbers of the library, a page that is small and inert, and a folder that IGV opens."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from explore_toy import annotated, snv
from splice_toy import Sites
from typer.testing import CliRunner
from variant_toy import ToyModel, another, toy_reference

from ntviz import models, variants
from ntviz.cli import app
from ntviz.explore import variant_figures
from ntviz.explore.variant_card import Bench
from ntviz.genome import Variant
from ntviz.plot import show
from ntviz.plot.letters import folded, outline
from ntviz.runs import variant_report as report
from ntviz.runs.report import POLICY
from ntviz.variants import Options
from ntviz.variants.vcf import VcfFile

HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
HOSTILE = "<script>window.planted=1</script>"
STATUSES = ["ok", "ok", "ok", "ref_mismatch", "symbolic", "contig_missing", "malformed", "missing", "duplicate", "ok"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    folder = tmp_path_factory.mktemp("genome")
    reference, toy = toy_reference(folder), ToyModel(vocabulary="nt-3mer")
    genes = annotated(folder, "20", ("ONE<b&", "+", (2001, 2300), (2601, 2900)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NTVIZ_CACHE", str(folder / "cache"))
        random = variants.background(toy, reference, Options(), per_class=40, what=None)
    sites = variants.SpliceScorer(Sites(context=200), reference, genes)
    return Bench(toy, reference, genes, variants.Scorer(toy, reference, Options(("all",))), None, 10, {}, random, sites)


@pytest.fixture(scope="module")
def control(bench) -> variants.Scorer:
    return variants.Scorer(ToyModel(vocabulary="nt-3mer", seed=1), bench.reference, Options(("llr",)))


def line(bench: Bench, pos: int, name: str = ".", info: str = ".", *, ref: str = "", alt: str = "") -> str:
    base = bench.reference.fetch(f"20:{pos}").sequence
    return f"20\t{pos}\t{name}\t{ref or base}\t{alt or another(base)}\t.\tPASS\t{info}\n"


@pytest.fixture(scope="module")
def asked(bench, tmp_path_factory) -> Path:
    path, base = tmp_path_factory.mktemp("asked") / "toy.vcf", bench.reference.fetch("20:2101").sequence
    two = bench.reference.fetch("20:2700-2701").sequence
    lines = [
        line(bench, 2101, HOSTILE, 'A="<img src=x onerror=window.planted=1>"', alt=f"{another(base)},{another(base, 2)}"),
        line(bench, 2700, ref=two, alt=two[0]),
        line(bench, 3000, ref=another(bench.reference.fetch("20:3000").sequence), alt=bench.reference.fetch("20:3000").sequence),
        line(bench, 3100, alt="<DEL>"),
        "21\t5\t.\tA\tC\t.\t.\t.\n",
        f"20\tno\t{HOSTILE}\tA\tC\t.\t.\t.\n",
        line(bench, 3200, alt="."),
        line(bench, 2101),
        line(bench, 1500, "early"),
    ]  # fmt: skip
    path.write_text(HEAD + "".join(lines))
    return path


@pytest.fixture(scope="module")
def made(bench, control, asked, tmp_path_factory) -> report.Report:
    out = tmp_path_factory.mktemp("made") / "folder"
    return report.write(report.choose(asked), out, bench, control=control, command="ntviz report toy.vcf", what=None)


def figures(page: str) -> list[dict]:
    return [json.loads(gzip.decompress(base64.b64decode(text))) for text in re.findall('data-figure="([^"]+)"', page)]


def test_each_alternative_has_a_card_with_the_numbers_of_the_library(made, bench, control):
    assert [row["status"] for row in made.rows] == STATUSES
    assert made.statuses["ok"] == 4 and sum(made.statuses.values()) == len(STATUSES)
    first = made.rows[0]
    variant = snv(bench.reference)
    for one, key in ((bench.model, "llr"), (control.reader.model, "control")):
        found = variants.score(one, bench.reference, variant, scores="llr", progress=None)["llr"].iloc[0]
        assert first[key] == pytest.approx(found, abs=1e-6)
    ranked = variants.score(bench.model, bench.reference, variant, background=bench.background, progress=None)
    assert first["percentile"] == pytest.approx(ranked["llr_percentile"].iloc[0])
    assert made.rows[2]["percentile"] is None and made.rows[2]["llr"] is not None  # a deletion
    effects = bench.splicing.effects(variants.Allele.of(variant))[1]
    assert first["splice"] == max(effect.scores.max() for effect in effects) and made.rows[-1]["splice"] is None
    page = made.written[0].read_text()
    for row, section in zip(made.rows, page.split('<section class="card"')[1:], strict=True):
        assert f'href="#variant-{row["number"]}"' in page and f'id="variant-{row["number"]}"' in section
        scored = row["status"] in ("ok", "duplicate")
        assert ('data-ntviz="scores"' in section) == scored == ("Control: the randomly" in section)
        if not scored:
            assert 'class="wrong">' in section and row["llr"] is None
    assert "chr20:g.2101" in page and Variant.from_str(re.findall(r"chr20:g\.\d+[ACGT]&gt;[ACGT]", page)[0].replace("&gt;", ">")).pos == 2101  # fmt: skip
    assert "REF must be what the reference has" in page and "not a whole number" in page


@pytest.mark.parametrize(("percentiles", "says"), [
    ([1.0, 4.9, 5.0, 60.0], "2 of 4 substitutions (50 %, 95 % interval 15 to 85 %) lie in the lowest 5 %"),
    ([50.0], "0 of 1 substitution (0 %, 95 % interval 0 to 79 %)"),
    ([None, None], "2 of 2 variants have scores by toy of nt-3mer; none has a percentile: there is no substitution among them."),
])  # fmt: skip
def test_the_answer_is_a_count_beside_what_chance_gives(bench, percentiles, says):
    place = {"place": "chr20:7", "change": "A>C", "splice": None}
    rows = [{"status": "ok", "percentile": value, **place} for value in percentiles]
    assert says in report._answer(rows, bench)
    answer = report._answer([rows[0] | {"splice": 0.5}, rows[-1] | {"splice": 0.49}, rows[0]], bench)
    assert answer.startswith(
        "By sites, 1 of 2 within a gene change a splice site by 0.5 or more, most chr20:7 A>C (0.50). "
    )
    if percentiles[0] is not None:
        ranked = [*rows, {"status": "duplicate", "percentile": 0.0, **place}]
        assert f"5 % ({0.05 * len(rows):.3g}) are expected by chance" in report._answer(ranked, bench)
        assert says.split(" (")[0] in report._answer(ranked, bench)
    assert "there is no background" in report._answer(rows[-1:], replace(bench, background=None)) or percentiles[-1]


def test_low_scores_are_counted_as_often_as_chance_gives(bench):
    """Of sampled substitutions themselves, about 5 % lie in the lowest 5 %: the rule has no bias of its own."""
    ranks = np.concatenate([100 * (np.arange(40) + 0.5) / 40] * 9)
    low = int((ranks < report.LOW).sum())
    rows = [{"status": "ok", "percentile": rank, "splice": None} for rank in ranks]
    assert low == 0.05 * len(ranks) and f"{low} of 360 substitutions (5 %" in report._answer(rows, bench)


def test_text_of_a_file_stays_text_and_nothing_can_be_fetched(made):
    page = made.written[0].read_text()
    assert HOSTILE not in page and "<img" not in page and html.escape(HOSTILE) in page
    assert "ONE<b&" not in page and f'content="{POLICY}"' in html.unescape(page)
    assert not re.search(r"(?:src|href)=\"(?!#|data:|variants\.|igv_)", page)


def test_a_card_is_small_and_its_letters_unfold_to_those_of_the_live_card(made, bench):
    page = made.written[0].read_text()
    without = re.sub('<script type="application/gzip".*?</script>', "", page, flags=re.DOTALL)
    assert max(map(len, without.split('<section class="card"')[1:])) < 50_000
    card = bench.at(snv(bench.reference))
    assert card.saturation is not None
    live = variant_figures.around(card)
    packed = figures(page)[0]
    assert packed["layout"]["meta"]["alt"] == live.layout.meta["alt"]
    letters = [(one, two) for one, two in zip(packed["data"], live.data, strict=True) if two.meta == "letters"]
    assert len(letters) == 9
    for trace, expected in letters:
        for name, size, unit in zip("xy", ("width", "height"), outline(trace["letter"]), strict=True):
            spread = np.array(trace[name])[:, None] + np.array(trace[size])[:, None] * unit
            np.testing.assert_allclose(spread.ravel(), np.array(expected[name]), atol=0.02)
    scores = next(trace for trace in packed["data"] if trace.get("name") == "LLR of each substitution")
    np.testing.assert_allclose(np.array(scores["z"], float), np.array(live.data[[t.name for t in live.data].index(scores["name"])].z), rtol=1e-3)  # fmt: skip


def test_letters_of_a_mirrored_axis_fold_too(bench):
    figure = variant_figures.splicing(bench.at(snv(bench.reference)))
    assert [trace["letter"] for trace in folded([t.to_plotly_json() for t in figure.data]) if "letter" in trace] == list("ACGTN")  # fmt: skip
    assert show.as_json(figure)["data"] == show.as_json(figure.to_dict())["data"]  # what is not light stays as it was


def test_a_folder_holds_the_scored_vcf_and_a_session_that_points_to_it(made, bench):
    page, scored, index, session = made.written
    assert [path.name for path in made.written] == [
        "index.html",
        "variants.vcf.gz",
        "variants.vcf.gz.tbi",
        "igv_session.xml",
    ]
    assert sorted(page.parent.iterdir()) == sorted(made.written)
    with VcfFile(scored) as file:
        records = list(file)
    assert [record.pos for record in records] == [
        1500,
        2101,
        2101,
        2700,
        3000,
        3100,
        3200,
        5,
    ]  # sorted; the malformed line is left out
    assert "1 line that cannot be read as a record: not in variants.vcf.gz." in made.text
    llr = [float(value) for value in re.search("NTV_LLR=([^;]+)", records[1].raw)[1].split(",")]
    assert llr == pytest.approx([row["llr"] for row in made.rows[:2]], rel=1e-3)
    root = ET.fromstring(session.read_text())
    assert (root.tag, root.get("version"), root.get("locus")) == ("Session", "8", "20:2001-2201")
    assert (session.parent / root.get("genome")).resolve() == bench.reference.path.resolve()
    resource, tracks = root.find("Resources/Resource"), root.findall("Panel/Track")
    assert (resource.get("path"), resource.get("index"), resource.get("type")) == (scored.name, index.name, "vcf")
    assert [track.get("id") for track in tracks] == [scored.name, "Reference sequence"]


def test_a_known_assembly_is_named_as_igv_names_it(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(type(bench.reference), "assembly", "GRCh38", raising=False)
    root = ET.fromstring(report._session(bench.reference, tmp_path, "20", 7, ["v.vcf"]))
    assert (root.get("genome"), root.get("locus")) == ("hg38", "chr20:1-107")
    assert root.find("Resources/Resource").get("index") is None


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(bench, control, asked, tmp_path, monkeypatch):
    chosen, real, cards = report.choose(asked), report._card, []

    def card(*given):
        if len(cards) == 3:
            raise KeyboardInterrupt
        cards.append(given)
        return real(*given)

    monkeypatch.setattr(report, "_card", card)
    with pytest.raises(KeyboardInterrupt):
        report.write(chosen, tmp_path / "a.html", bench, control=control, what=None)
    assert not (tmp_path / "a.html").exists()
    cards.clear()
    monkeypatch.setattr(report, "_card", lambda *given: cards.append(given) or real(*given))
    report.write(chosen, tmp_path / "a.html", bench, control=control, what=None)
    assert len(cards) == len(STATUSES) - 3 and [path.name for path in tmp_path.iterdir()] == ["a.html"]
    report.write(chosen, tmp_path / "b.html", bench, control=control, what=None)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    other = replace(bench, around=12)
    assert report._about(other, control) != report._about(bench, control) != report._about(bench, None)


def test_a_table_is_explained_too_and_a_dash_is_a_deletion(bench, tmp_path):
    base = bench.reference.fetch("20:2101").sequence
    table = tmp_path / "some.tsv"
    table.write_text(f"chrom\tpos\tref\talt\n20\t2101\t{base}\t{another(base)}\n20\t2101\t{base}\t-\n20\tx\tA\tC\n")
    found = report.write(report.choose(table), tmp_path / "out", bench, what=None)
    assert [row["status"] for row in found.rows] == ["ok", "ok", "malformed"]
    before = bench.reference.fetch("20:2100").sequence
    expected = variants.score(
        bench.model, bench.reference, f"20:2100:{before}{base}>{before}", scores="llr", progress=None
    )
    assert found.rows[1]["llr"] == pytest.approx(expected["llr"].iloc[0], abs=1e-6)
    assert (tmp_path / "out" / "variants.vcf.gz").is_file()


def many(bench: Bench, path: Path, count: int) -> Path:
    path.write_text(HEAD + "".join(line(bench, 1000 + number) for number in range(count)))
    return path


@pytest.mark.parametrize(("count", "options", "says"), [
    (501, {}, "of 1 to 500 variants; received many.vcf, which has 501. Choose a region"),
    (501, {"region": "20:900-1600"}, "which has 501 in 20:900-1600"),
    (3, {"first": 501}, "received first=501"),
    (3, {"first": 0}, "received first=0"),
    (0, {}, "at least one variant; received many.vcf, and there is none in it"),
    (3, {"region": "20:5000-5100"}, "there is none in that region"),
])  # fmt: skip
def test_a_report_is_of_1_to_500_variants(bench, tmp_path, count, options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        report.choose(many(bench, tmp_path / "many.vcf", count), **options)


def test_regions_and_first_ones_are_chosen(bench, asked, tmp_path):
    path = many(bench, tmp_path / "many.vcf", 501)
    assert len(report.choose(path, region="chr20:1,000-1,499").variants) == 500
    chosen = report.choose(path, first=2)
    assert ([record.pos for record in chosen.records], chosen.of) == ([1000, 1001], 501)
    assert report._notes(chosen)[0] == "These are the first 2 of 501 variants of many.vcf."
    assert [record.pos for record in report.choose(asked, region="20:2101").records] == [2101, 2101]
    assert report.choose(asked, first=3).of == len(STATUSES)


def test_outputs_that_cannot_be_are_refused(bench, tmp_path):
    path = many(bench, tmp_path / "variants.vcf.gz", 2)
    chosen = report.choose(path)
    for out, error, says in (
        (tmp_path / "x.pdf", ValueError, r"or a file that ends in \.html; received x\.pdf"),
        (tmp_path, ValueError, "must leave its input alone"),
    ):
        with pytest.raises(error, match=says):
            report.output_of(out, path, overwrite=True)
    found = report.write(chosen, tmp_path / "out.html", bench, what=None)
    with pytest.raises(FileExistsError, match=r"must not be there yet; .*out\.html is"):
        report.write(chosen, tmp_path / "out.html", bench, what=None)
    assert report.write(chosen, tmp_path / "out.html", bench, overwrite=True, what=None).text == found.text
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "igv_session.xml").write_text("mine")
    with pytest.raises(FileExistsError, match=r"igv_session\.xml is"):
        report.output_of(tmp_path / "folder", path)


def ntviz(*words: object):
    return CliRunner().invoke(app, ["report", *map(str, words)])


def test_what_is_wrong_is_said_before_a_model_is_loaded(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    path = many(bench, tmp_path / "many.vcf", 501)
    for words, says in (
        ((path,), "has 501"),
        ((tmp_path / "none.vcf",), "there is no file"),
        ((path, "--first", 2, "--around", 500), "--around must be 10 to 100 bp, but 500 came"),
    ):
        found = ntviz(*words, "--out", tmp_path / "out.html")
        assert found.exit_code == 2 and says in found.output, found.output


def test_the_command_writes_a_page_and_says_what_it_found(bench, mini, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load", lambda name, **_: mini if name == "ntviz-mini" else Sites())
    path, genes = many(bench, tmp_path / "many.vcf", 2), bench.reference.path.with_name("toy.gtf")
    given = (
        path,
        "--out",
        tmp_path / "out.html",
        "--reference",
        bench.reference.path,
        "--genes",
        genes,
        "--no-background",
    )
    found = ntviz(*given, "--splice", "sites")
    assert found.exit_code == 0, found.output
    assert "2 of 2 variants have scores by ntviz-mini; none has a percentile: there is no background." in found.output
    assert (
        "By sites, 0 of 0 within a gene change a splice site" in found.output
        and str(tmp_path / "out.html") in found.output
    )
    assert "ntviz report many.vcf --model ntviz-mini --splice sites --around 30" in (tmp_path / "out.html").read_text()
    assert "--model must be a language model" in ntviz(*given, "--overwrite", "--model", "sites").output
    assert "--splice must be a splice network" in ntviz(*given, "--overwrite", "--splice", "ntviz-mini").output
