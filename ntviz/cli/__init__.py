"""The command `ntviz`: run notebooks as jobs, collect what they found, look after models, data and kernels."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
from typer import Argument, Option

from ntviz.cli import messages, sharded
from ntviz.cli.benchmark import benchmark_app
from ntviz.cli.elements import enrich, landscape
from ntviz.cli.messages import FAILED, INTERRUPTED, USAGE, aligned, failing, interruptible, note, noted, say, usage
from ntviz.cli.pretrain import pretrain
from ntviz.cli.report import report
from ntviz.cli.score import score
from ntviz.cli.submit import submit
from ntviz.environment import NotInstalledError

if TYPE_CHECKING:
    from ntviz.runs.execute import Job
    from ntviz.runs.manifest import Manifest


class _Commands(typer.core.TyperGroup):
    """Commands that end in one line when they are interrupted, wherever they are."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with interruptible():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with interruptible(), failing(NotInstalledError):
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands, help="See what DNA language models see: notebooks as jobs, models, data and kernels.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
models_app = typer.Typer(help="Models: list them, verify a checkpoint directory.", invoke_without_command=True)
data_app = typer.Typer(help="Data: list them, fetch them, say where they are.", invoke_without_command=True)
kernel_app = typer.Typer(help="Jupyter kernels of this environment.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(data_app, name="data")
app.add_typer(kernel_app, name="kernel")
app.add_typer(benchmark_app, name="benchmark")
for command in (score, enrich, landscape):
    sharded.register(app, command.__name__, command)
app.command()(pretrain)
app.command()(submit)
app.command()(report)


def main() -> None:
    """Run the command; bad arguments end it with 2, what failed with 1."""
    app()


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, Option("--version", help="Print the version and end.")] = False,
) -> None:
    context.obj = context.with_resource(noted())
    if version:
        from ntviz.environment import versions

        say(f"ntviz {versions()['ntviz']}")
        raise typer.Exit


@app.command()
def run(
    notebook: Annotated[str, Argument(help="A notebook file, or the name of one of ntviz's own.")],
    parameter: Annotated[list[str] | None, Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a parameter; repeat for more.")] = None,
    profile: Annotated[str | None, Option(help="ci, workshop or full: how much is computed.")] = None,
    kernel: Annotated[str | None, Option(help="A registered Jupyter kernel; default: this Python.")] = None,
    out: Annotated[Path | None, Option(help="Folder of this run; default: a new one in runs/.")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Run again into a folder whose run ended well.")] = False,
    help_parameters: Annotated[bool, Option("--help-parameters", help="Show the notebook's parameters and end.")] = False,
) -> None:  # fmt: skip
    """Run a notebook as a job: executed copy, offline HTML report, manifest.

    Exit code: 0 it ran, 1 it failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz.runs import execute, parameters

    if help_parameters:
        with usage(OSError, ValueError):
            declared = parameters.read(execute.load(notebook)[1]).values()
            rows = [(entry.name, entry.kind, repr(entry.default), entry.help) for entry in declared]
            header = ("parameter", "type", "default", "meaning")
            say(aligned(rows, header) if rows else "This notebook has no parameters.")
        return
    with usage(OSError, ValueError):
        given = dict(map(_assignment, parameter or []))
        job = execute.prepare(notebook, given=given, profile=profile, kernel=kernel, out=out, overwrite=overwrite)
    _end(_executed(job))


@app.command()
def rerun(
    manifest: Annotated[Path, Argument(help="manifest.json of a run, or its folder.")],
    out: Annotated[Path | None, Option(help="Folder of the new run; default: a new one in runs/.")] = None,
) -> None:
    """Do a run again: same notebook, parameters, profile and kernel; then say line by line what differs.

    Exit code: that of the run.
    """
    from ntviz.runs import rerun as again

    with usage(OSError, ValueError):
        before, job = again.prepare(manifest, out=out)
    after = _executed(job)
    for line in again.differences(before, after) or ["nothing differs"]:
        say(line)
    _end(after)


def _executed(job: Job) -> Manifest:
    """What a job found, with its files and notes said."""
    from ntviz.runs import execute

    note(f"{job.name}: profile {job.profile}, into {_shown(job.folder)}")
    with failing(OSError):
        facts = execute.notebook(job, log=None if sys.stderr.isatty() else note)
    for label, file in (("report", "report.html"), ("notebook", execute.EXECUTED), ("manifest", "manifest.json")):
        if (job.folder / file).is_file():
            say(f"{label:<9} {_shown(job.folder / file)}")
    for text in facts.notes:
        note(text)
    return facts


def _end(facts: Manifest) -> None:
    """Ends the command as its run ended."""
    if facts.status != "ok":
        note(_failure(facts))
    if facts.report_error:
        note(f"ntviz: the report of {facts.notebook} could not be written: {' '.join(facts.report_error.split())}")
    if facts.status != "ok" or facts.report_error:
        raise typer.Exit(INTERRUPTED if facts.status == "interrupted" else FAILED)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"a parameter must be given as NAME=VALUE, but {text!r} came. Write -p window=2000")
    return name.strip(), value


def _shown(path: Path) -> str:
    """The path as the user can type it: relative where that is shorter."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


def _failure(facts: Manifest) -> str:
    error = facts.error or {}
    place = f"in cell {error['cell']}" if error.get("cell") else "outside of its cells"
    if facts.status == "interrupted":
        return f"ntviz: {facts.notebook} was {error.get('message', 'stopped')} {place}"
    code = error.get("line") or "\n".join(str(error.get("source", "")).strip().splitlines()[:5])
    lines = (textwrap.indent(code, "    "), f"{error.get('name')}: {error.get('message')}")
    return "\n".join([f"ntviz: {facts.notebook} failed {place}", *filter(None, lines)])


@app.command()
def collect(
    folders: Annotated[list[Path], Argument(help="Folders with runs, such as runs/.")],
    out: Annotated[Path | None, Option(help="Write the whole table to this .csv or .parquet file.")] = None,
    page: Annotated[Path | None, Option("--index", help="Write an HTML page that links all reports.")] = None,
) -> None:
    """Put many runs into one table: status, parameters, metrics, times."""
    from ntviz.runs import collect as collecting

    with usage(FileNotFoundError, ValueError):
        if out is not None and out.suffix not in (".csv", ".parquet"):
            raise ValueError(f"--out must end in .csv or .parquet, but {out.name!r} came. Rename it")
        table = collecting.runs(*folders)
    with failing(OSError):
        if out is not None:
            collecting.save(table, out)
        if page is not None:
            collecting.save_index(table, page, title=", ".join(folder.resolve().name for folder in folders))
    if table.empty:
        say("No runs found.")
        return
    say(messages.tabulated(collecting.brief(table)))
    counts = ", ".join(f"{number} {status}" for status, number in table["status"].value_counts().items())
    say(f"\n{len(table)} runs: {counts}" + (f"; all columns in {out}" if out is not None else ""))


@app.command()
def doctor() -> None:
    """Say what is wrong with this environment, and what to type. Exit code 1 if something must be mended."""
    from ntviz import data, environment

    findings = [*environment.doctor(), data.look_at_bundle()]
    marks = {"ok": "  ok ", "note": " note", "warn": " WARN", "error": "ERROR"}
    for finding in findings:
        say(f"{marks[finding.level]}  {finding.what}")
        if finding.fix:
            say(f"       -> {finding.fix}")
    counts = {level: sum(finding.level == level for finding in findings) for level in ("warn", "error")}
    say(f"\n{counts['error']} errors, {counts['warn']} warnings")
    if counts["error"]:
        raise typer.Exit(FAILED)


@app.command()
def notebooks(
    copy: Annotated[Path | None, Option(metavar="DIR", help="Copy them into this folder, over no file.")] = None,
) -> None:
    """List ntviz's own notebooks, which `ntviz run NAME` runs from any folder, or copy them."""
    from ntviz import environment, storage
    from ntviz.runs import execute, report

    ours = sorted(environment.notebooks_dir().glob("*.ipynb"))
    if copy is None:
        say(aligned([(path.stem, report.title_of(execute.load(path)[1])) for path in ours], ("name", "title")))
        say("\nRun one with `ntviz run NAME`; `ntviz notebooks --copy DIR` copies them, to be opened in JupyterLab.")
        return
    if taken := ", ".join(path.name for path in ours if (copy / path.name).exists()):
        note(f"ntviz: a copy must not take the place of a file, but {copy} has {taken}. Choose another folder")
        raise typer.Exit(USAGE)
    with failing(OSError):
        for path in ours:
            with storage.atomic_write(copy / path.name) as handle:
                handle.write(path.read_bytes())
            say(str(copy / path.name))


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the models that ntviz knows by name, and which are here."""
    if context.invoked_subcommand is not None:
        return
    from ntviz.models import registry

    rows = []
    for spec in (*registry.SPECS.values(), *registry.PEERS.values()):
        size = f"{spec.parameters / 1e6:,.{0 if spec.parameters >= 1e7 else 1}f} M" if spec.parameters else ""
        shape = (size, spec.layers, spec.heads, f"{spec.max_bp:,}")
        rows.append((spec.name, _model_place(spec), *shape, spec.licence))
    say(aligned(rows, ("name", "where", "parameters", "layers", "heads", "longest (bp)", "licence of the weights")))
    say("\nAny checkpoint directory works, too: models.load(PATH). What is not here is downloaded at the first load.")


def _model_place(spec: Any) -> str:
    from ntviz.environment import data_dir

    if "/" not in spec.repository:
        return "bundle" if (data_dir() / spec.repository / "config.json").is_file() else "missing"
    from huggingface_hub import try_to_load_from_cache

    return "cache" if isinstance(try_to_load_from_cache(spec.repository, "config.json"), str) else "to download"


@models_app.command()
def verify(
    directory: Annotated[Path, Argument(help="Checkpoint with expected.npz beside config.json.")],
    tolerance: Annotated[float, Option(help="Largest absolute difference that passes.")] = 1e-4,
) -> None:
    """Compare a checkpoint's outputs with the expected.npz beside it; exit code 1 if they differ by more."""
    from ntviz import models as package

    with failing(OSError, ValueError):
        result = package.verify(directory, tolerance=tolerance)
    for output, difference in result.differences.items():
        say(f"{output:<14} {difference:.2e}  {'ok' if difference <= tolerance else f'more than {tolerance:g}'}")
    if result.others:
        say(f"not compared: {', '.join(result.others)}")
    if not result.ok:
        note(f"ntviz: {directory} does not give the expected numbers within {tolerance:g}")
        raise typer.Exit(FAILED)


@data_app.callback()
def data(context: typer.Context) -> None:
    """List the data that ntviz knows, and which are here."""
    if context.invoked_subcommand is not None:
        return
    from ntviz import data as package

    table = package.known()
    table["here"] = table["here"].map({True: "here", False: "-"})
    say(messages.tabulated(table[["name", "kind", "here", "version", "what", "licence"]]))
    say("\nFetch with `ntviz data fetch NAME`; `ntviz data path NAME` prints where it is.")


@data_app.command()
def fetch(
    name: Annotated[str, Argument(help="A name from `ntviz data`, or bundle for all that ntviz needs by default.")],
    dest: Annotated[Path | None, Option(help="Folder for the files; default: the cache, of the bundle the data folder.")] = None,
    force: Annotated[bool, Option("--force", help="Fetch again what is here.")] = False,
) -> None:  # fmt: skip
    """Fetch data once, check them, and print where they are; what is here already is only checked for being whole."""
    from ntviz import data as package

    with usage(ValueError), failing(OSError, package.FetchError):
        say(str(package.fetch(name, dest, force=force)))


@data_app.command()
def path(name: Annotated[str, Argument(help="A name from `ntviz data`.")]) -> None:
    """Print where data are on this machine; exit code 1 if they are not here."""
    from ntviz import data as package

    with usage(ValueError), failing(FileNotFoundError):
        say(str(package.local(name)))


@kernel_app.command()
def install(
    user: Annotated[bool, Option("--user", help="For this user, where each of their servers finds it.")] = False,
    sys_prefix: Annotated[bool, Option("--sys-prefix", help="Into this environment (the default).")] = False,
    prefix: Annotated[Path | None, Option(help="Into another prefix, such as a server's environment.")] = None,
    name: Annotated[str, Option(help="A name of your own, beside kernels of other environments.")] = "ntviz",
) -> None:
    """Register the kernels ntviz and ntviz-gpu with this Python's absolute path, so that any server can start them."""
    from ntviz.runs import kernel

    if user + sys_prefix + (prefix is not None) > 1:
        note("ntviz: only one of --user, --sys-prefix and --prefix can be given. Leave the others out")
        raise typer.Exit(USAGE)
    with usage(ValueError), failing(OSError):
        for folder in kernel.install(name=name, user=user, prefix=prefix):
            say(str(folder))
    if kept := " ".join(f"{variable}={value}" for variable, value in kernel.frozen().items()):
        note(f"kept in these kernels, whatever is set later: {kept}. To change it, set it and install again")


@kernel_app.command()
def remove(name: Annotated[str, Argument(help="Name of the kernels; its -gpu goes too.")] = "ntviz") -> None:
    """Take away kernels that `ntviz kernel install` or a wheel registered, and print where they were."""
    from ntviz.runs import kernel

    with usage(ValueError), failing(OSError):
        for folder in kernel.remove(name):
            say(str(folder))
