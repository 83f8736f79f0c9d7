"""The figure of a leaderboard, read back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntviz import plot


def tables():
    rng = np.random.default_rng(0)
    rows = []
    for task, category in (
        ("splice_sites_all", "splicing"),
        ("promoter_all", "promoters"),
        ("coding", "coding"),
    ):
        for place, entry in enumerate(("k-mers (3 to 6)", "ntviz-mini, logistic probe", "majority class")):
            value = [0.6, 0.5, 0.0][place] + 0.05 * rng.random()
            rows.append({"task": task, "category": category, "entry": entry, "value": value, "low": value - 0.05,
                         "high": value + 0.04, "n_test": 1200, "twin": 0.3 if place == 1 else np.nan,
                         "permuted_high": 0.08 if place < 2 else np.nan})  # fmt: skip
    tasks = pd.DataFrame(rows)
    overall = tasks.groupby("entry", sort=False)[["value", "low", "high"]].mean().reset_index()
    return tasks, overall


def artists(figure, panel, gid):
    ax = next(ax for ax in figure.drawing.axes if ax.get_label() == panel)
    return [line for line in ax.lines if line.get_gid() == gid]


def test_every_value_stands_where_it_should():
    tasks, overall = tables()
    figure = plot.leaderboard(tasks, overall, title="Who does what", focus="ntviz-mini")
    assert [ax.get_label() for ax in figure.drawing.axes] == [
        "all tasks",
        "splice_sites_all",
        "promoter_all",
        "coding",
    ]
    for task, part in tasks.groupby("task"):
        points = artists(figure, task, "value")
        assert [line.get_xdata()[0] for line in points] == part["value"].tolist()
        assert [line.get_ydata()[0] for line in points] == [0, 1, 2]
        intervals = artists(figure, task, "interval")
        assert [tuple(line.get_xdata()) for line in intervals] == list(
            zip(part["low"], part["high"], strict=True)
        )
        assert [line.get_xdata()[0] for line in artists(figure, task, "twin")] == [0.3]
        assert len(artists(figure, task, "permuted")) == 2
    names = [text.get_text() for text in figure.drawing.axes[0].get_yticklabels()]
    assert names == ["k-mers (3 to 6)", "ntviz-mini, logistic probe", "majority class"]
    colours = {line.get_color() for line in artists(figure, "coding", "value")}
    assert len(colours) == 2


def test_the_alt_text_names_the_best_of_each_panel():
    tasks, overall = tables()
    figure = plot.leaderboard(tasks, overall, title="Who does what")
    assert figure.alt.startswith("Who does what. all tasks: best k-mers (3 to 6) 0.6")
    assert "splice_sites_all: best k-mers" in figure.alt
    assert figure.html().count("<img ") == 1


def test_an_entry_without_a_value_is_said_and_one_without_an_interval_drawn():
    tasks, overall = tables()
    overall.loc[2, ["value", "low", "high"]] = np.nan
    tasks.loc[0, ["low", "high"]] = np.nan
    figure = plot.leaderboard(tasks, overall, title="t")
    texts = [text.get_text() for text in figure.drawing.axes[0].texts]
    assert " not on every task" in texts
    assert len(artists(figure, "splice_sites_all", "interval")) == 2


def test_names_from_files_are_escaped():
    tasks, _ = tables()
    tasks["entry"] = "<script>alert(1)</script>$x$" + tasks["entry"]
    page = plot.leaderboard(tasks, title="<b>bold</b>").html()
    assert "<script>alert" not in page
    assert "<b>bold" not in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="low"), "received a table without low"),
        (lambda table: table.iloc[:0], "at least one row; received none"),
        (
            lambda table: pd.concat([table, table.iloc[:1]]),
            "received 'k-mers .3 to 6.' twice in 'splice_sites_all'",
        ),
    ],
)
def test_tables_that_are_none_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        plot.leaderboard(change(tables()[0]), title="t")
