"""A notebook is a job is a report: parameters, execution, manifest, report, and one table over many runs.

In a notebook: ``run = runs.current()``. Outside: `execute.notebook`, `collect.runs`. The modules are imported when
they are used, so that a notebook does not pay for what executes notebooks.
"""

from __future__ import annotations

from ntviz.runs.handle import PROFILES, Run, current

__all__ = ["PROFILES", "Run", "current"]
