"""The page that `ntviz benchmark run` writes: leaderboard, layers, differences, and what others reported."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from ntviz.cli.messages import cell_text

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.benchmark import Leaderboard

_STYLE = """:root{color-scheme:light dark}body{margin:24px auto;padding:0 16px;max-width:1020px;
font:14px/1.5 Helvetica,Arial,'Liberation Sans',sans-serif}table{border-collapse:collapse;font-size:13px;margin:8px 0}
th,td{padding:3px 10px;border-bottom:1px solid #8884;text-align:left}td{font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}p{max-width:76ch}"""

_METRICS = {
    "mcc": "Matthews' correlation (MCC)", "auroc": "AUROC", "top_k": "top-k accuracy", "pearson": "Pearson's r",
}  # fmt: skip


def report(board: Leaderboard, compared: pd.DataFrame, layers: pd.DataFrame, command: str) -> str:
    """The leaderboard as a page that opens offline; every text is escaped."""
    from ntviz import plot
    from ntviz.plot import show

    figure = plot.leaderboard(board.tasks, board.overall, title="Leaderboard", label=_metric(board.tasks))
    failed = board.failed[["task", "model", "method", "status", "error"]]
    parts = [
        f"<h1>Benchmark</h1><p>Made by <code>{html.escape(command)}</code>. Values are each task's first metric on held-out examples, with a 95 % "
        "interval over regions drawn again. The twin is the same probe on the randomly initialised model; p is that of "
        "permuted labels; selectivity is the score less that on labels without meaning. What a row lacks is named: a score "
        "without controls proves little.</p>",
        show.element(figure, with_plotlyjs=True),
        f"<h2>All tasks</h2>{_html(board.overall)}<h2>By category</h2>{_html(board.categories)}",
        f"<h2>By task</h2>{_html(board.tasks.drop(columns=['model', 'method']))}",
        "<h2>Differences</h2><p>First less second, paired by region; q is p after Benjamini and Hochberg over all rows.</p>",
        _html(compared.drop(columns=["note"])),
    ]
    parts += [*_layers(layers), *_published()]
    if len(failed):
        parts += ["<h2>Failed or not done</h2>", _html(failed)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Benchmark</title>'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>"
    )


def _layers(layers: pd.DataFrame) -> list[str]:
    """A curve by layer for each model, beside its randomly initialised model."""
    from ntviz import plot
    from ntviz.plot import show

    parts = []
    for model, part in layers.groupby("model", sort=False):
        if part["layer"].nunique() < 2:
            continue
        lines = {False: str(model), True: "randomly initialised model"}
        mean = part.groupby(["layer", "twin"])["score"].mean().unstack("twin").rename(columns=str)
        figure = plot.curves(
            mean.reset_index(), x="layer", y={str(twin): name for twin, name in lines.items() if str(twin) in mean},
            title=f"{model}: inner score by layer, mean over tasks", x_label="layer (0: the embedding)",
            y_label="first metric, inner folds",
        )  # fmt: skip
        parts.append(show.element(figure, with_plotlyjs=False))
    about = (
        "<h2>Layers</h2><p>What logistic probes saw inside their training parts, which chose the layer; never the held-out "
        "examples, on which the chosen one mostly looks a little worse.</p>"
    )
    return [about, *parts] if parts else []


def _published() -> list[str]:
    from ntviz import benchmark

    columns = ["generation", "task", "model", "metric", "value", "method", "grade", "source"]
    return [
        "<h2>What others reported</h2><p>On the published tasks, by other protocols, each with how well the number is known. They are "
        "not to be compared with tasks of chromosome 20, which are of other sequences, nor with each other across sources.</p>"
        "<details><summary>Published numbers</summary>" + _html(benchmark.published()[columns]) + "</details>"
    ]


def _metric(tasks: pd.DataFrame) -> str:
    found = list(dict.fromkeys(tasks["metric"]))
    return _METRICS.get(found[0], found[0]) if len(found) == 1 else "first metric of the task"


def _html(table: pd.DataFrame) -> str:
    """A table, numbers to three places, texts escaped and whole."""
    import pandas as pd

    shown = table.map(cell_text).rename(columns=lambda name: str(name).replace("_", " "))
    with pd.option_context("display.max_colwidth", None):
        return f'<div class="wide">{shown.to_html(index=False, border=0)}</div>'
