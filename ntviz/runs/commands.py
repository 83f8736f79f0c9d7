"""Commands that compute in shards: the options of each, once, for `ntviz.cli` to type and for a sheet to fill."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from ntviz.runs import parameters

POSITIONAL = "in"
"""The column of a sheet that is a command's positional argument."""
_OURS = {"out", "shard", "cache", "overwrite", "table", "no_table"}
_TABLES = (".tsv", ".csv", ".parquet")

# A field is an option: its type, its help, and of an argument, which is typed without a name, what stands for it.
# fmt: off


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What every command takes that computes in shards."""

    shard: Annotated[str, "i/n: do every n-th piece only; then once without it, which makes the rest and writes the whole."] = "1/1"
    device: Annotated[str, "auto, cpu or cuda."] = "auto"
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], "Of weights."] = "float32"


@dataclass(frozen=True, kw_only=True)
class Pieces(Shard):
    """What commands take that read a genome with a model and keep finished pieces."""

    model: Annotated[str, "A name of `ntviz models`, or a checkpoint directory."] = "ntviz-mini"
    reference: Annotated[Path | None, "FASTA; default: the bundle's chromosome 20 (GRCh37)."] = None
    cache: Annotated[Path | None, "Folder of finished pieces, kept; default: OUT.parts, removed."] = None
    overwrite: Annotated[bool, "Replace OUT."] = False


@dataclass(frozen=True, kw_only=True)
class Score(Pieces):
    """`ntviz score`."""

    path: Annotated[Path, "A VCF (plain, gzip, bgzip), or .tsv, .csv, .parquet.", "IN"]
    out: Annotated[Path, "Where to: .vcf.gz (bgzip and index) or .vcf; .tsv, .csv, .parquet of tables. A .json is put beside it."]
    scores: Annotated[str, "Some of llr, base_llr, wt_llr, entropy, l1, l2, cosine, dot, alt_loss, loss_diff, jsd; or all."] = "llr,base_llr,entropy,l2,jsd"
    frames: Annotated[int, "1, or 6 to average over all offsets of 6-mers."] = 1
    place: Annotated[int | None, "Place of the variant in its token, from 0; default: a grid on the contig."] = None
    window: Annotated[int | None, "bp read; default: what the model takes, at most 6,000."] = None
    layer: Annotated[int | None, "Layer of embeddings; default: the last."] = None
    region: Annotated[str, "Of embeddings: token, window, or tokens to each side."] = "token"
    forward_only: Annotated[bool, "Read the forward strand alone."] = False
    on_mismatch: Annotated[Literal["skip", "flag", "swap", "fail"], "What to do with a REF that is not the reference's."] = "skip"
    genes: Annotated[Path | None, "Of a splice network: GTF or GFF3 of the genes; default: the bundle's."] = None
    distance: Annotated[int, "Of a splice network: bp on each side of POS."] = 50
    mask: Annotated[Literal["none", "nearest", "position"], "Of a splice network: what is left out."] = "position"
    background: Annotated[bool, "Percentiles among random substitutions of the same kind, made once for each model."] = True
    calibrate: Annotated[bool, "llr and base_llr minus the mean of neutral substitutions of the same five bases and change too, made once."] = False
    head: Annotated[Path | None, "Folder of a head that variants.learn made on this model: its probability or value too."] = None
    table: Annotated[Path | None, "Parquet of alleles; default: beside OUT, none of a table."] = None
    no_table: Annotated[bool, "No parquet."] = False
    piece: Annotated[int, "Records scored and kept at once."] = 500
    batch_tokens: Annotated[int, "Tokens of a forward pass."] = 16_384


@dataclass(frozen=True, kw_only=True)
class Enrich(Pieces):
    """`ntviz enrich`."""

    out: Annotated[Path, "Where to: .parquet, .tsv or .csv; a .json is put beside it."]
    genes: Annotated[Path | None, "GTF, GFF3 or BED of genes; default: the bundle's."] = None
    beds: Annotated[str, "Files of more elements, by commas: BED, ENCODE's cCREs, Regulatory Build."] = ""
    motifs: Annotated[str, "Names of motifs whose matches are elements, by commas, such as CTCF."] = ""
    within: Annotated[str, "Region that elements are taken from, 1-based; default: the whole reference."] = ""
    kinds: Annotated[str, "Elements asked about, by commas; default: all there are."] = ""
    around: Annotated[str, "Elements that windows are drawn around, by commas."] = "promoter,splice_acceptor,cpg_island"
    windows: Annotated[int, "Windows around each of them."] = 200
    length: Annotated[int | None, "bp of a window; default: what the model takes, at most 6,000."] = None
    threshold: Annotated[float, "Share of a query's attention above which a pair counts."] = 0.3
    nulls: Annotated[str, "What to compare with, by commas; none for nothing."] = "shift,shuffle,twin,distance"
    shifts: Annotated[int, "How often elements are turned around their window."] = 200
    bootstrap: Annotated[int, "Resamples behind the intervals."] = 1000
    alpha: Annotated[float, "False discovery rate of what is called significant."] = 0.05
    special: Annotated[Literal["exclude", "include"], "Whether special tokens count."] = "exclude"
    batch: Annotated[int | None, "Windows of a forward pass; default: 1 on a CPU, on a GPU what fills it and fits."] = None
    seed: Annotated[int, "Of everything that is drawn."] = 0


@dataclass(frozen=True, kw_only=True)
class Landscape(Pieces):
    """`ntviz landscape`."""

    region: Annotated[str, "1-based, both ends included, such as chr20:1-60,000; or a contig.", "REGION"]
    out: Annotated[Path, "Where to: .npz of all arrays, or .bedgraph of one track."]
    track: Annotated[Literal["probability", "entropy", "correct", "perplexity"], "Of a bedGraph."] = "probability"
    bin: Annotated[int, "bp of a line of a bedGraph."] = 1
    by_element: Annotated[bool, "Write a table by genomic element too: OUT's name, .elements.tsv, and a .json."] = False
    genes: Annotated[Path | None, "Of the elements: GTF, GFF3 or BED; default: the bundle's."] = None
    beds: Annotated[str, "Files of more elements, by commas."] = ""
    share: Annotated[float, "Share of tokens hidden at once, up to 0.5; 0: one at a time."] = 0.15
    frames: Annotated[int, "Ways of cutting the contig into tokens, averaged."] = 1
    both_strands: Annotated[bool, "Read the reverse complement too, and average."] = False
    window: Annotated[int | None, "bp read at a time; default: what the model takes, at most 1,536."] = None
    flank: Annotated[int | None, "bp at either end that are read only; default: a quarter of the window."] = None
    limit: Annotated[float | None, "Measure the error of flanks; none given: the shortest with less of the spread."] = None
    sample: Annotated[int, "Places at which it is measured."] = 16
    control: Annotated[str, "composition, shuffled, both by a comma, or none."] = "composition"
    seed: Annotated[int, "Of the shuffles."] = 0
    piece: Annotated[int, "bp made and kept at once."] = 250_000
    batch_tokens: Annotated[int, "Tokens of a forward pass."] = 16_384


@dataclass(frozen=True, kw_only=True)
class Matrix(Shard):
    """`ntviz benchmark run`."""

    out: Annotated[Path, "Folder of the matrix; the same command goes on where it stopped."]
    models: Annotated[str, "Names of `ntviz models` or checkpoint directories, by commas."] = ""
    tasks: Annotated[str, "Names of `ntviz benchmark tasks`, files or folders; chr20 stands for all that come with ntviz. DIR@revised or FILE#TASK@original: held to what was published."] = "chr20"
    methods: Annotated[str, "logistic, mlp, ia3, lora, full, head; majority, gc, kmer, local31, cnn, bpnet, bpnet-large."] = ""
    folds: Annotated[int, "Folds by region where a task has no test part."] = 10
    refold: Annotated[bool, "Use folds even where there is a test part."] = False
    layers: Annotated[str, "Layers that probes choose from, such as 0,2,4; default: all."] = ""
    pooling: Annotated[Literal["mean", "max", "cls"], "Of vectors for probes."] = "mean"
    permutations: Annotated[int, "Permuted labels of each probe; 0: none."] = 20
    steps: Annotated[int | None, "Training steps at most; default: each method's own."] = None
    train_cap: Annotated[int | None, "Examples to learn from at most."] = None
    seeds: Annotated[str, "Each cell is done once a seed."] = "0"
    twins: Annotated[bool, "Probe a random twin of each model too."] = True

# fmt: on


@dataclass(frozen=True)
class Option:
    """One option of a command; an argument has a `metavar`, and MISSING is the default of what is required."""

    name: str
    kind: Any
    help: str
    default: Any
    metavar: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What is typed before its value; of a switch, what turns it on and, where that is the default, off."""
        dashed = self.name.replace("_", "-")
        return (f"--{dashed}", f"--no-{dashed}") if self.default is True else (f"--{dashed}",)

    @property
    def path(self) -> bool:
        """Whether it names a file or folder."""
        return Path in (self.kind, *typing.get_args(self.kind))

    def typed(self, text: str) -> list[str]:
        """The words of a command line that give this option the value in `text`."""
        try:
            value = parameters.fit(text, self.kind)
        except ValueError as error:
            kind = self.kind.__name__ if isinstance(self.kind, type) else str(self.kind).replace("typing.", "")
            raise ValueError(f"{self.name!r} must be {kind}, but {text!r} came") from error
        if isinstance(value, bool):
            return list(self.words[:1] if value else self.words[1:])
        return [text] if self.metavar else [self.words[0], text]


@dataclass(frozen=True)
class Command:
    """A command of `ntviz` that computes in shards and merges without ``--shard``.

    `question` is the dataclass of its options; `result` and `report` are where ``--out`` points to, and a page that it
    writes, below the sample's folder.
    """

    words: tuple[str, ...]
    question: type[Shard]
    result: str
    report: str = ""

    def all_options(self) -> dict[str, Option]:
        """Everything that the command takes, by name."""
        hints = typing.get_type_hints(self.question, include_extras=True)
        found = {}
        for field in fields(self.question):
            kind, text, *metavar = typing.get_args(hints[field.name])
            found[field.name] = Option(field.name, kind, text, field.default, *metavar)
        return found

    def options(self) -> dict[str, Option]:
        """What a sheet may set, by column: all but outputs and shards, which the workflow sets."""
        ours = {name: option for name, option in self.all_options().items() if name not in _OURS}
        return {POSITIONAL if option.metavar else name: option for name, option in ours.items()}

    def typed(self, given: Mapping[str, str]) -> list[str]:
        """The words after ``ntviz`` that run the command with the values in `given`, by column; ValueError if one does not fit."""
        options = self.options()
        words = list(self.words)
        for column, text in given.items():
            if column in _OURS:
                raise ValueError(f"{column!r} of {words[0]} is set by the workflow, but its cell is filled. Empty it")
            if column not in options:
                must = f"a column must be an option of {words[0]} where its cell is filled"
                raise ValueError(f"{must}, but {column!r} is not. {parameters.nearest(column, options)}")
            words += options[column].typed(text)
        for column, option in options.items():
            if option.default is MISSING and column not in given:
                raise ValueError(f"{self.words[0]} must be given {column!r}, but its cell is empty. Fill it in")
        return words

    def result_of(self, given: Mapping[str, str]) -> str:
        """Where the result goes: a table comes out as the kind that went in; only a bedGraph has a track or bin."""
        suffix = Path(given.get(POSITIONAL, "")).suffix
        if self.question is Score and suffix in _TABLES:
            return f"scored{suffix}"
        if self.question is Landscape and given.keys() & {"track", "bin"}:
            return "landscape.bedgraph"
        return self.result


COMMANDS = {
    command.words[0]: command
    for command in (
        Command(("score",), Score, "scored.vcf.gz"),
        Command(("enrich",), Enrich, "enrichment.parquet"),
        Command(("landscape",), Landscape, "landscape.npz"),
        Command(("benchmark", "run"), Matrix, "matrix", "matrix/report.html"),
    )
}
