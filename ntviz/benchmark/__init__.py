"""The benchmark: tasks, their checks, the matrix of models by tasks by methods, and its leaderboard."""

from __future__ import annotations
