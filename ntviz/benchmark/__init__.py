"""The benchmark: tasks and their checks, the matrix of models by tasks by methods, and its leaderboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.benchmark.checking import Checks, check
    from ntviz.benchmark.matrix import predictions, results, run
    from ntviz.benchmark.methods import METHODS, Method, Settings
    from ntviz.benchmark.reading import expand, find_task
    from ntviz.benchmark.registry import published
    from ntviz.benchmark.standings import Leaderboard, comparisons, layer_scores, leaderboard
    from ntviz.benchmark.task import Examples, Task

_HOMES = {
    "checking": ("Checks", "check"),
    "matrix": ("predictions", "results", "run"),
    "methods": ("METHODS", "Method", "Settings"),
    "reading": ("expand", "find_task"),
    "registry": ("published",),
    "standings": ("Leaderboard", "comparisons", "layer_scores", "leaderboard"),
    "task": ("Examples", "Task"),
}

__all__ = [
    "METHODS",
    "Checks",
    "Examples",
    "Leaderboard",
    "Method",
    "Settings",
    "Task",
    "check",
    "comparisons",
    "expand",
    "find_task",
    "layer_scores",
    "leaderboard",
    "predictions",
    "published",
    "results",
    "run",
]

__getattr__ = lazily(__name__, _HOMES)
