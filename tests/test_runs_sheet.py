"""The sheet of `ntviz submit`: what is read from it, and that every fault is named with its row before a job starts."""

from __future__ import annotations

import re
from dataclasses import MISSING

import pytest
from typer.main import get_command

from ntviz import cli
from ntviz.runs import commands, execute, loci, sheet

VCF = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
PARAMETERS = 'profile: str = "ci"  # size\ncount: int = 3  # how many\nbeds: list[str] = []  # elements\nout: str = ""  # parts\n'


@pytest.fixture
def write(tmp_path, make_notebook):
    """Write a sheet, rows given as text with | for tabs, beside a VCF, a FASTA and a notebook `toy.ipynb`."""
    (tmp_path / "in.vcf").write_text(VCF)
    (tmp_path / "in.tsv").write_text("chrom\tpos\n")
    (tmp_path / "g.fa").write_text(">1\nACGT\n")
    (tmp_path / "g.fa.fai").write_text("1\t4\t3\t4\t5\n")
    row = '1\tx\t{}\t1\t4\t.\t+\t.\tgene_id "g1"; gene_name "{}"; note "HNF4A like";\n'
    (tmp_path / "own.gtf").write_text(row.format("gene", "TOY1") + row.format("exon", "TOY1"))
    make_notebook("print(count)", parameters=PARAMETERS)

    def make(*rows, encoding="utf-8"):
        path = tmp_path / "sheet.tsv"
        path.write_bytes("\n".join(row.replace("|", "\t") for row in rows).encode(encoding))
        return path

    return make


def faults(path):
    with pytest.raises(sheet.SheetError, match="Nothing was submitted") as caught:
        sheet.read(path)
    return caught.value.faults


def test_each_kind_of_run_becomes_its_command(write, tmp_path):
    path = write(
        "sample|run|shards|in|reference|frames|forward-only|background|count|profile|models|tasks|memory|minutes",
        "a|score|8|in.vcf|g.fa|6|yes|no|||||64000|90",
        "",
        "b.2|toy.ipynb|||||||4|full||||",
        "c_3|benchmark|3||||||||ntviz-mini|chr20||",
        "d|00_start||||||||ci||||",
    )
    a, b, c, d = sheet.read(path)
    assert (a.name, a.row, a.shards, a.notebook) == ("a", 2, 8, False)
    assert (a.memory_mb, a.minutes, b.memory_mb, b.minutes) == (64_000, 90, None, None)
    words = "score in.vcf --reference g.fa --frames 6 --forward-only --no-background"
    assert a.words == tuple(words.split())
    assert a.inputs == (str(tmp_path / "in.vcf"), str(tmp_path / "g.fa"))
    assert (a.result, a.report) == ("scored.vcf.gz", "")
    assert (b.row, b.shards, b.notebook, b.report) == (4, 1, True, "report.html")
    assert b.words == ("run", str(tmp_path / "toy.ipynb"), "-p", "count=4", "-p", "profile=full")
    assert b.inputs == (str(tmp_path / "toy.ipynb"),)  # a changed notebook is run again
    assert c.words == ("benchmark", "run", "--models", "ntviz-mini", "--tasks", "chr20")
    assert c.report == "matrix/report.html"
    assert d.words[1].endswith("/notebooks/00_start.ipynb")
    assert (a.models, b.models, d.models) == (("ntviz-mini",), (), ("ntviz-mini", "ci-spliceai"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_spreadsheets_file_is_read(write, encoding):
    # A byte order mark, quotes around a cell, spaces, Windows' line ends, and a cell too many that is empty.
    path = write('sample|run|in\r\n a |score|"in.vcf"|\r\n', encoding=encoding)
    assert sheet.read(path)[0].words == ("score", "in.vcf")


@pytest.mark.parametrize(
    "rows",
    [
        (
            "sample|run|shards|in|frames|place",
            "a|score||in.vcf",
        ),  # an empty cell is the default, and a short row is padded
        ("sample|run|in||", "a|score|in.vcf||"),  # two columns that a spreadsheet had in use once
        ("sample|run||in", "a|score||in.vcf"),  # and one in the middle
        ("# my study", "sample|run|in", "# redo|these|two", "a|score|in.vcf|||"),
        ('"# my study, ""old"""|||', "", "sample|run|in|", "a|score|in.vcf"),
        ("#sample|run|in", "a|score|in.vcf"),
        ("# Sample|run|in", "sample|run|in", "a|score|in.vcf"),
    ],
)
def test_columns_and_rows_that_say_nothing_are_left_out(write, rows):
    path = write(*rows)
    [a] = sheet.read(path)
    assert (a.words, a.given) == (("score", "in.vcf"), {"in": "in.vcf"})
    assert a.row == len(rows)


def test_words_for_tables_and_lists(write):
    [a, b] = sheet.read(write("sample|run|in|beds", "a|score|in.tsv|", "b|toy.ipynb||in.tsv, g.fa"))
    assert a.result == "scored.tsv"
    assert b.words[2:] == ("-p", "beds=in.tsv, g.fa")
    assert len(b.inputs) == 3


def test_the_files_of_a_folder_are_inputs_but_of_a_model(write, tmp_path):
    for name in ("tasks/deep/b.tsv", "tasks/a.fa", "tasks/.hidden", "tasks/.git/x", "model/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    [a] = sheet.read(write("sample|run|models|tasks", "a|benchmark|./model|./tasks"))
    assert a.inputs == (str(tmp_path / "tasks/a.fa"), str(tmp_path / "tasks/deep/b.tsv"))


def test_a_folder_to_be_made_is_no_path_that_must_be_there(write):
    [a] = sheet.read(write("sample|run|out", "a|toy.ipynb|./parts"))
    assert a.words[2:] == ("-p", "out=./parts")


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (("run|in", "score|in.vcf"), "row 1: the header must have a column 'sample', but it has run, in. Add it"),
        (("sample,run", "a,score"), "row 1: .*'sample', but it has sample,run. Save the table with tabs"),
        (("sample|run|", "a|score|x"), "row 2: the cell 'x' must .* but column 3 has none in the header, row 1"),
        (("sample|run|in|in", "a|score|in.vcf|"), "row 1: .* 'in' comes again"),
        (("", "sample|run"), "it must have a header and samples below it, but it has none"),
        (("# x", "sample|run|in", "a|score|in.vcf|6"), "row 3: the cell '6' .* column 4 has none in the header, row 2"),
        (("sample|run|in", "a|score|in.vcf", "", "a|score|in.vcf"), "row 4: .* 'a' is that of row 2. Rename"),
        (("sample|run|in", "a|score|in.vcf", "A|score|in.vcf"), "row 3: .* 'A' is that of row 2"),
        (("sample|run|in", "../a|score|in.vcf"), "row 2: .* letters, digits, .* but '../a' came"),
        (("sample|run|in", "index.html|score|in.vcf"), "row 2: .* no file of the workflow, but 'index.html'"),
        (("sample|run|in", "|score|in.vcf"), "row 2: .* but '' came"),
        (("sample|run|in", "a||in.vcf"), "row 2: sample 'a' must say what to run"),
        (("sample|run|in", "a|scare|in.vcf"), "row 2: a notebook must be a file, but scare .* or run one of score"),
        (("sample|run", "a|tox.ipynb"), "row 2: .* tox.ipynb is not there"),
        (("sample|run|in", "a|score|no.vcf"), "row 2: what 'in' names must be there, but 'no.vcf' is not"),
        (("sample|run|in|reference", "a|score|in.vcf|g"), "row 2: what 'reference' names .* 'g' is not"),
        (("sample|run|beds", "a|toy.ipynb|g.fa,/no/such.bed"), "row 2: what 'beds' names .* '/no/such.bed'"),
        (("sample|run|shards", "a|score|2"), "row 2: score must be given 'in', but its cell is empty"),
        (("sample|run|in|frame", "a|score|in.vcf|6"), "row 2: .* 'frame' is not. Did you mean 'frames'"),
        (("sample|run|in|out", "a|score|in.vcf|x"), "row 2: 'out' of score is set by the workflow"),
        (("sample|run|in|frames", "a|score|in.vcf|six"), "row 2: 'frames' must be int, but 'six' came"),
        (("sample|run|in|background", "a|score|in.vcf|maybe"), "row 2: 'background' must be bool"),
        (("sample|run|cout", "a|toy.ipynb|4"), "row 2: .* but 'cout' came. Did you mean 'count'"),
        (("sample|run|count", "a|toy.ipynb|four"), "row 2: parameter 'count' must be int, but 'four' came"),
        (("sample|run|profile", "a|toy.ipynb|huge"), "row 2: .* 'huge'"),
        (("sample|run|shards", "a|toy.ipynb|2"), "row 2: a notebook is one job, but 2 shards came"),
        (("sample|run|in|shards", "a|score|in.vcf|0"), "row 2: shards must be a number from 1 to 10,000, but '0'"),
        (("sample|run|in|memory", "a|score|in.vcf|2.5"), "row 2: memory must be a number from 100 .* but '2.5'"),
        (("sample|run|in|minutes", "a|score|in.vcf|0"), "row 2: minutes must be a number from 1 .* but '0'"),
        (("sample|run|in|model", "a|score|in.vcf|ntviz-mino"), "row 2: a model .* 'ntviz-mino' is none. Did you mean"),
        (("sample|run|in|gpu_model", "a|score|in.vcf|a 100"), "row 2: gpu_model must be a type of GPU .* 'a 100'"),
        (("sample|run|splicing", "a|00_start|spliceia"), "row 2: a model .* 'spliceia' is none. Did you mean"),
        (("sample|run|gene", "a|00_start|HNF4"), "row 2: A gene must be one of .* 'HNF4'. Nearest: HNF4A"),
        (("sample|run|gene|genes", "a|30_attention|HNF4A|own.gtf"), "row 2: .* of own.gtf; received 'HNF4A'"),
        (("sample|run|region", "a|00_start|chr20:63,025,000-63,026,000"), "row 2: a region must lie .* 63,025,520 bp"),
        (("sample|run|region|fasta", "a|00_start|1:2-9|g.fa"), "row 2: a region must lie .* is not: 1 has 4 bp"),
        (("sample|run|in", "a|landscape|chr21:1-100"), "row 2: A contig must be one .* 'chr21'"),
        (("sample|run|within", "a|enrich|chr20:1-90,000,000"), "row 2: a region must lie on its contig"),
        (("sample|run|in", 'a|score|"in.vcf'), "row 2: its cells must be readable"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(write, rows, fault):
    found = faults(write(*rows))
    assert len(found) == 1
    assert re.match(fault, found[0]), found[0]


def test_all_faults_are_named_at_once(write):
    rows = [f"s{number}|score|no{number}.vcf" for number in range(25)]
    path = write("sample|run|in", *rows)
    found = faults(path)
    assert len(found) == 25
    assert found[24].startswith("row 26: ")
    with pytest.raises(sheet.SheetError, match="row 21: .*\n  and 5 more\n"):
        sheet.read(path)


def test_what_is_no_sheet_is_refused(tmp_path, write):
    with pytest.raises(FileNotFoundError, match="a sheet of samples must be a file, but there is none"):
        sheet.read(tmp_path / "none.tsv")
    assert faults(write(""))[0].startswith("it must have a header and samples below it")
    path = tmp_path / "bad.tsv"
    path.write_bytes(b"sample\trun\n\xff\tscore\n")
    assert faults(path) == ["it must be text in UTF-8, but byte 12 is not. Save it as tab-separated text"]


@pytest.mark.parametrize(
    "values",
    [
        {"gene": "hnf4a", "genes": "", "region": "", "fasta": ""},
        {"gene": "TOY1", "genes": "own.gtf"},
        {"gene": "g1", "genes": "own.gtf"},
        {"gene": "no such", "genes": "own.gtf", "region": "1:1-4", "fasta": "g.fa"},  # the region goes before it
        {"gene": "no such"},  # another notebook's parameter, of which nothing is known
        {"region": "token", "reference": None},  # of `score`
        {"region": "chr7:1-9", "fasta": "in.tsv"},  # without an index
    ],
)
def test_genes_and_regions_that_are_there_are_let_through(write, tmp_path, values):
    loci.check(values, tmp_path)


def test_a_run_by_itself_refuses_them_too(write, tmp_path):
    for given, why in (({"gene": "HNF4B"}, "Nearest: HNF4"), ({"region": "chr20:70,000,000"}, "63,025,520 bp")):
        with pytest.raises(ValueError, match=why):
            execute.prepare("00_start", given=given, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", commands.COMMANDS.values(), ids=lambda command: command.words[0])
def test_options_are_those_of_the_commands_themselves(command):
    typed = get_command(cli.app)
    for word in command.words:
        typed = typed.commands[word]
    options = command.all_options()
    shown = {entry.name: entry for entry in typed.params if entry.name != "help"}
    assert set(shown) == set(options)
    for name, option in options.items():
        if option.metavar:
            assert (shown[name].param_type_name, shown[name].metavar) == ("argument", option.metavar)
        else:
            assert (*shown[name].opts, *shown[name].secondary_opts) == option.words
            assert shown[name].required == (option.default is MISSING)


def test_options_are_typed_as_the_command_takes_them():
    score = commands.COMMANDS["score"].options()
    assert score["in"].metavar == "IN" and score["in"].path
    assert not {"out", "shard", "cache", "overwrite", "table"} & set(score)
    assert score["reference"].path and not score["model"].path
    assert score["place"].kind == int | None
    assert score["forward_only"].typed("true") == ["--forward-only"]
    assert score["forward_only"].typed("false") == []
    assert score["background"].typed("no") == ["--no-background"]
    assert score["window"].typed("600") == ["--window", "600"]
    with pytest.raises(ValueError, match="'window' must be int | None, but 'wide' came"):
        score["window"].typed("wide")
    landscape = commands.COMMANDS["landscape"]
    assert landscape.result_of({"in": "chr20:1-9,000"}) == "landscape.npz"
    assert landscape.result_of({"in": "chr20:1-9,000", "track": "entropy"}) == "landscape.bedgraph"
    bench = commands.COMMANDS["benchmark"]
    assert bench.options()["train_cap"].typed("100") == ["--train-cap", "100"]
    assert bench.options()["twins"].typed("no") == ["--no-twins"]
