"""Variants explained to a colleague: the records of a file, each on a card of its own, as one page that opens offline.

`choose` reads the file and needs no model, so that what is wrong with it is said at once; `write` makes the page or, for a folder,
the page, the scored VCF and a session that IGV opens. Finished cards are kept by content until all is written.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ntviz import environment, storage
from ntviz.genome import Interval, Variant, browser_contig, canonical_contig, resolve_contig
from ntviz.runs.report import POLICY, TEMPLATE
from ntviz.storage import Output
from ntviz.variants import vcf
from ntviz.variants.alleles import SCORED, STATUSES, Allele
from ntviz.variants.survey import Table, opened

if TYPE_CHECKING:
    from ntviz.explore.variant_card import Bench, Card

MOST = 500
"""Variants of a report, at most."""
LOW = 5.0
"""Percentile below which a score is called low: as many per cent of sampled substitutions are, by chance."""
LIKELY = 0.5
"""Change of a splice site from which on it is taken as likely."""
PAGE, SCORES, SESSION = "index.html", "variants.vcf.gz", "igv_session.xml"
"""Files of a report's folder."""
_HEADER = vcf.Header(("##fileformat=VCFv4.3",), vcf.COLUMNS)
_GENOMES = {"GRCh37": "hg19", "GRCh38": "hg38"}
_PIECE = 25  # records of the scored VCF kept at once


@dataclass(frozen=True)
class Chosen:
    """The records of a VCF or table that a report is asked for; `of` counts the variants of the whole file, or of `region`."""

    path: Path
    header: vcf.Header
    records: list[vcf.Record]
    of: int
    region: str = ""

    @property
    def variants(self) -> list[tuple[vcf.Record, str]]:
        """Each alternative of each record; empty text where there is none."""
        return [(record, alt) for record in self.records for alt in record.alts or ("",)]


def choose(path: str | Path, *, region: str | None = None, first: int | None = None) -> Chosen:
    """The records of a report: all of a file, those that touch a region (1-based text), of these the first so many variants.

    A ValueError says that there is none, or that there are more than `MOST`; `vcf.VcfError` that the file cannot be read.
    """
    path, place = Path(path), Interval.from_str(region) if region else None
    most = MOST if first is None else first
    if not 1 <= most <= MOST:
        raise ValueError(f"A report must be of 1 to {MOST} variants; received first={first}. Choose fewer.")
    records, shown, total = list[vcf.Record](), 0, 0
    with opened(path) as file:
        header = _HEADER if isinstance(file, Table) else file.header
        for record in file if isinstance(file, Table) or place is None else file.within(place):
            if place is not None and (record.problem or not record.touches(place)):
                continue
            total += (size := max(len(record.alts), 1))
            if total == shown + size <= most:
                records, shown = [*records, record], total
    if not total:
        what = "in that region. Ask for another (--region)" if region else "in it. Name another file"
        raise ValueError(f"A report must have at least one variant; received {path.name}, and there is none {what}.")
    if (first is None and total > MOST) or not records:
        raise ValueError(
            f"A report must be of 1 to {most} variants; received {path.name}, which has {total:,}{f' in {region}' if region else ''}. Choose a "
            f"region (--region chr20:43,000,000-43,100,000, or bcftools view -r), or the first ones (--first {MOST}); `ntviz score` takes any number."
        )  # fmt: skip
    return Chosen(path, header, records, total, region or "")


@dataclass(frozen=True)
class Report:
    """What a report says: `answer` is its first sentence, `rows` its table; `written` are its files, the page first."""

    answer: str
    rows: list[dict[str, Any]]
    statuses: dict[str, int]
    notes: list[str]
    written: list[Path]

    @property
    def text(self) -> str:
        """The answer, the count of each status, and notes, a line each."""
        width = max(map(len, self.statuses))
        counts = [f"  {count:>5,}  {name:<{width}}  {STATUSES[name]}" for name, count in self.statuses.items()]
        return "\n".join([self.answer, *counts, *self.notes])


def output_of(out: str | Path, path: str | Path | None = None, *, overwrite: bool = False) -> Output:
    """The page that a report is written to: `out` if that ends in .html, else index.html in the folder `out`.

    A ValueError says that it can be none, or would replace the input `path`; a FileExistsError that there is one, unless `overwrite`.
    """
    out = Path(out)
    if _is_page(out):
        target = Output(out)
    elif out.suffix or (out.exists() and not out.is_dir()):
        raise ValueError(f"A report must go to a folder, or a file that ends in .html; received {out.name}. Rename it.")
    else:
        target = Output(out / PAGE)
        mine = [out / name for name in (SCORES, SESSION) if (out / name).exists()]
        if path is not None and any(file.samefile(path) for file in mine if Path(path).exists()):
            raise ValueError(f"A report must leave its input alone; received {path} and its folder. Name another one.")
        if mine and not overwrite and not target.work.exists():
            raise FileExistsError(f"The files of a report must not be there yet; {mine[0]} is. Choose another folder, or --overwrite.")  # fmt: skip
    target.check(overwrite=overwrite)
    return target


def _is_page(out: str | Path) -> bool:
    return Path(out).suffix.lower() in (".html", ".htm")


def write(
    chosen: Chosen, out: str | Path, bench: Bench, *, control: Any = None, overwrite: bool = False, command: str = "",
    what: str | None = "cards",
) -> Report:  # fmt: skip
    """Writes the report of variants: a page (.html), or a folder with index.html, variants.vcf.gz and igv_session.xml.

    Parameters
    ----------
    chosen
        Of `choose`.
    bench
        Of `explore.variant_card.Bench`: model, reference, annotation, scorer of all scores, background, splice network.
    control
        A `variants.Scorer` of llr by another model, such as the randomly initialised one; its LLR stands beside.
    command
        Put on the page and into the header of the VCF.

    A card that was made is kept as soon as it is there, by what it follows from: a run that was killed goes on where it stopped. A
    FileExistsError says that there is a report already.
    """
    target = output_of(out, chosen.path, overwrite=overwrite)
    target.begin(overwrite=overwrite)
    kept, about = target.pieces(), _about(bench, control)
    cards, seen = [], set[Allele]()
    records = environment.progress(chosen.variants, what=what) if what else chosen.variants
    for record, alt in records:
        allele = Allele(record.chrom, record.pos, record.ref, alt)
        name = storage.digest([about, record.raw, record.problem, record.id, *allele])
        if known := kept.read(name):
            card = known[0]
        else:
            kept.write(name, card := _card(bench, control, record, allele), {})
        key = Allele(canonical_contig(allele.chrom), allele.pos, *allele.bases)
        if card["row"]["status"] == "ok" and key in seen:
            card["row"]["status"] = "duplicate"
        seen.add(key)
        cards.append(card)
    rows = [card["row"] | {"number": number} for number, card in enumerate(cards, 1)]
    statuses = dict(Counter(row["status"] for row in rows).most_common())
    answer, notes, written = _answer(rows, bench), _notes(chosen), []
    if not _is_page(out):
        more, written = _beside(chosen, target, bench, rows, command)
        notes += more
    page = _page(chosen, bench, cards, rows, answer=answer, statuses=statuses, notes=notes, command=command,
                 beside=[path.name for path in written])  # fmt: skip
    with storage.atomic_write(target.path, "w") as handle:
        handle.write(page)
    target.end()
    return Report(answer, rows, statuses, notes, [target.path, *written])


def _about(bench: Bench, control: Any) -> dict[str, Any]:
    """What a card follows from beside its record."""
    tables = [bench.annotation, *bench.beds.values()]
    return {
        "ntviz": metadata.version("ntviz"), "scores": bench.scorer.about, "around": bench.around, "reference": storage.content(bench.reference.path),
        "annotation": [hashlib.sha256(part.table.to_csv().encode("utf-8", "replace")).hexdigest() for part in tables], "beds": [*bench.beds],
        "background": bench.background and bench.background.digest, "splicing": bench.splicing and bench.splicing.about,
        "control": control and control.about,
    }  # fmt: skip


def _card(bench: Bench, control: Any, record: vcf.Record, allele: Allele) -> dict[str, Any]:
    """A card as plain data: its row of the table, its HTML, and its packed figures."""
    from ntviz.explore import variant_figures as figures
    from ntviz.explore import variant_words as words

    row: dict[str, Any] = dict.fromkeys(("llr", "percentile", "control", "splice")) | dict.fromkeys(
        ("gene", "consequence", "note"), ""
    )
    row |= {
        "place": f"{browser_contig(allele.chrom)}:{allele.pos:,}" if allele.chrom else f"line {record.line:,}",
        "contig": canonical_contig(allele.chrom), "pos": allele.pos, "id": record.id.removeprefix("."),
        "change": f"{allele.ref}>{allele.alt or '.'}" if allele.ref else "",
    }  # fmt: skip
    variant = None if record.problem else _variant(bench, allele)
    if variant is None:
        (plan,) = bench.scorer.plan([allele])
        said = ("malformed", record.problem) if record.problem else (plan.status, plan.note)
        row["status"], row["note"] = ("missing", "") if not (record.problem or allele.alt) else said
        return {"row": row, "given": _given(record, None), "html": "", "figures": []}
    card = bench.at(variant)
    row |= {"status": card.status, **{name: card.consequence.get(name, "") for name in ("gene", "consequence")}}
    if card.scored:
        row |= {"llr": _finite(card.values["llr"]), "percentile": _finite(card.values.get("llr_percentile", np.nan))}
        if control is not None:
            row["control"] = _finite(control.score([Allele.of(variant)]).values[0, 0])
    row["splice"] = max((float(effect.scores.max()) for effect in card.spliced[1]), default=None)
    drawn = filter(None, (figures.around(card), figures.splicing(card), figures.genes(card)))
    given, text = _given(record, card), words.as_html(card, styled=False)
    return {"row": row, "given": given, "html": text, "figures": [_packed(figure) for figure in drawn]}


def _variant(bench: Bench, allele: Allele) -> Variant | None:
    """The allele as a variant, that of a table with the base before it; None where it is none."""
    with suppress(ValueError):
        if allele.alt != "-":
            return Variant(*allele)
        before = bench.reference.fetch(Interval(allele.chrom, allele.pos - 2, allele.pos - 1)).sequence
        return Variant(allele.chrom, allele.pos - 1, before + allele.ref, before)
    return None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _given(record: vcf.Record, card: Card | None) -> list[tuple[str, str]]:
    """What the file says of a record, and how the variant is typed elsewhere."""
    from ntviz.plot.words import plain

    given = [("ID", record.id if record.id != "." else "")]
    if card is not None and card.variant is not None:
        one = card.variant
        hgvs = f"{one.chrom}:g.{one.pos}{one.ref}>{one.alt}"
        given.append(("HGVS", hgvs) if one.is_snv else ("variant", str(one)))
    fields = record.raw.split("\t")
    if record.problem:
        given.append(("line", record.raw))
    elif len(fields) >= 8:
        given += zip(("QUAL", "FILTER", "INFO"), fields[5:8], strict=True)
    return [(name, _text(plain(value, most=400))) for name, value in given if value not in ("", ".")]


def _text(text: str) -> str:
    """Text whose bytes were no UTF-8, with question marks for these."""
    return text.encode("utf-8", "replace").decode()


def _packed(figure: Any) -> dict[str, Any]:
    """A figure as the page's loader takes it."""
    from ntviz.plot import show

    content = show.as_json(figure, light=True)
    packed = base64.b64encode(gzip.compress(json.dumps(content).encode(), 9, mtime=0)).decode()
    return {"alt": show.alt(figure), "height": content["layout"]["height"], "data": packed}


def _answer(rows: Sequence[dict[str, Any]], bench: Bench) -> str:
    """The first lines of the page: how many change a splice site, and how many score low, where how many would by chance."""
    from scipy.stats import binomtest

    first, asked = "", [row for row in rows if row["splice"] is not None]
    if bench.splicing is not None:
        likely = sum(row["splice"] >= LIKELY for row in asked)
        top = max(asked, key=lambda row: row["splice"], default=None)
        most = f", most {top['place']} {top['change']} ({top['splice']:.2f})" if top and likely else ""
        first = f"By {bench.splicing.model.name}, {likely:,} of {len(asked):,} within a gene change a splice site by {LIKELY:g} or more{most}. "
    scored = [row for row in rows if row["status"] in SCORED]
    scores = f"{len(scored):,} of {len(rows):,} variant{'s' * (len(rows) != 1)} have scores by {bench.model.name}"
    ranked = [row["percentile"] for row in scored if row["percentile"] is not None and row["status"] != "duplicate"]
    if not ranked:
        why = "there is no background" if bench.background is None else "there is no substitution among them"
        return f"{first}{scores}; none has a percentile: {why}."
    low, count = sum(percentile < LOW for percentile in ranked), len(ranked)
    test = binomtest(low, count, LOW / 100)
    ends = test.proportion_ci(method="wilson")
    return (
        f"{first}{low:,} of {count:,} substitution{'s' * (count != 1)} ({100 * low / count:.0f} %, 95 % interval {100 * ends.low:.0f} to "
        f"{100 * ends.high:.0f} %) lie in the lowest {LOW:g} % of sampled substitutions of their kind, where {LOW:g} % ({LOW / 100 * count:.3g}) "
        f"are expected by chance (exact binomial p = {test.pvalue:.2g}); {scores}."
    )  # fmt: skip


def _notes(chosen: Chosen) -> list[str]:
    """What is to be known beside the answer: what was left out."""
    notes, shown = [], len(chosen.variants)
    if shown < chosen.of:
        where = f"{chosen.path.name}{f' in {chosen.region}' if chosen.region else ''}"
        notes.append(f"These are the first {shown:,} of {chosen.of:,} variants of {where}.")
    return notes


def _beside(chosen: Chosen, target: Output, bench: Bench, rows: Sequence[dict[str, Any]], command: str) -> tuple[list[str], list[Path]]:  # fmt: skip
    """Writes the scored VCF and the session of IGV beside the page; notes, and the files."""
    from ntviz import variants

    folder, asked = target.path.parent, target.work / "asked.vcf"
    # IGV needs an index, and an index sorted records: contigs in the order of the reference, lines that are no records left out.
    order = {canonical_contig(name): number for number, name in enumerate(bench.reference.contigs)}
    usable = [record for record in chosen.records if not record.problem]
    usable.sort(key=lambda record: (order.get(canonical_contig(record.chrom), len(order)), record.chrom, record.pos))
    if not usable:
        return ["No line can be read as a record, so that there is no scored VCF."], []
    made = ([one.chrom, str(one.pos), one.id, one.ref, *one.alts, ".", ".", "."] for one in usable)
    vcf.write(asked, chosen.header, (one.raw or "\t".join(columns) for one, columns in zip(usable, made, strict=True)))
    options = replace(bench.scorer.options, scores=variants.Options().scores)
    scorer = variants.Scorer(bench.model, bench.reference, options, background=bench.background)
    summary = variants.score_file(asked, folder / SCORES, scorer, with_table=False, piece=_PIECE, overwrite=True, what=None, command=command)  # fmt: skip
    first = next((row for row in rows if row["status"] in SCORED), None) or next(row for row in rows if row["pos"])
    names = [path.name for path in summary.written]
    with storage.atomic_write(folder / SESSION) as handle:
        handle.write(_session(bench.reference, folder, first["contig"], first["pos"], names))
    left = len(chosen.records) - len(usable)
    notes = [f"{left:,} line{'s' * (left > 1)} that cannot be read as a record: not in {SCORES}."] * bool(left)
    return [*notes, *summary.doubts], [*summary.written, folder / SESSION]


def _session(reference: Any, folder: Path, contig: str, pos: int, files: Sequence[str]) -> bytes:
    """A session of IGV (version 8): genome, place of the first variant, the scored VCF by a path from the session's folder."""
    genome, element = _GENOMES.get(reference.assembly), ElementTree.SubElement
    with suppress(ValueError):
        contig = browser_contig(contig) if genome else resolve_contig(contig, list(reference.contigs))
    genome = genome or Path(os.path.relpath(reference.path.resolve(), folder.resolve())).as_posix()
    session = ElementTree.Element("Session", genome=genome, locus=f"{contig}:{max(pos - 100, 1)}-{pos + 100}", version="8")  # fmt: skip
    resource = element(element(session, "Resources"), "Resource", path=files[0], type="vcf")
    resource.attrib.update(zip(["index"], files[1:], strict=False))
    for panel, name, track, kind in (
        ("DataPanel", files[0], "Variants scored by ntviz", "variant.VariantTrack"),
        ("FeaturePanel", "Reference sequence", "Reference sequence", "track.SequenceTrack"),
    ):
        element(element(session, "Panel", name=panel), "Track", id=name, name=track, clazz=f"org.broad.igv.{kind}", visible="true")  # fmt: skip
    ElementTree.indent(session)
    return ElementTree.tostring(session, encoding="UTF-8", xml_declaration=True)


def _page(chosen: Chosen, bench: Bench, cards: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], **said: Any) -> str:  # fmt: skip
    """The whole page; jinja2 escapes all text, and the HTML of a card was escaped when it was made."""
    import jinja2

    from ntviz.explore.variant_words import limits
    from ntviz.plot import show
    from ntviz.plot.letters import LETTERS, outline
    from ntviz.plot.theme import darkened
    from ntviz.plot.words import element_name, number

    columns = {
        "place": "Place (1-based)", "change": "Change", "id": "ID", "gene": "Gene", "consequence": "Consequence", "llr": "LLR, nats",
        "percentile": "Percentile", "control": "LLR, random model", "splice": "Splice, 0 to 1", "status": "Status",
    }  # fmt: skip
    columns = {key: title for key, title in columns.items() if any(row[key] not in (None, "") for row in rows)}
    contigs = {canonical_contig(name): place for place, name in enumerate(bench.reference.contigs)}
    loader = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATE), autoescape=True, trim_blocks=True)
    return loader.get_template("variants.html.j2").render(
        title=f"Variants of {chosen.path.name}", policy=POLICY, css=(TEMPLATE / "report.css").read_text(encoding="utf-8"),
        columns=columns, numbers=("llr", "percentile", "control", "splice"), cards=list(zip(rows, cards, strict=True)), number=number,
        named=element_name, meanings=STATUSES, text=_text, colours=darkened(), carrier=show.carrier(), loader=show.LOADER,
        order=[contigs.get(row["contig"], len(contigs)) * 10**10 + row["pos"] for row in rows], limits=limits(bench),
        outlines={letter: [axis.round(3).tolist() for axis in outline(letter)] for letter in LETTERS}, model=bench.model.name,
        background=bench.background and bench.background.statement, version=metadata.version("ntviz"),
        reference=bench.reference.path.name, assembly=bench.reference.assembly, **said,
    )  # fmt: skip
