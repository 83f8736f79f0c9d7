"""The benchmark: tasks and their checks, the matrix of models by tasks by methods, and its leaderboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.benchmark.check import Checks, check
    from ntviz.benchmark.known_answers import PUBLISHED_PROMOTERS, KnownAnswers, known_answers
    from ntviz.benchmark.matrix import expand, find_task, predictions, results, run
    from ntviz.benchmark.methods import METHODS, Method, Settings
    from ntviz.benchmark.registry import published
    from ntviz.benchmark.standings import Leaderboard, comparisons, layer_scores, leaderboard
    from ntviz.benchmark.task import Examples, Task

__getattr__, __all__ = lazily(__name__)
