"""Where things are and what this machine is: paths, progress, device, versions, doctor."""

from __future__ import annotations

from ntviz.environment.diagnosis import Finding, doctor
from ntviz.environment.files import encoding_of, is_missing, lines_of, opened, openings, rows_of, whole_number
from ntviz.environment.laziness import NotInstalledError, lazily, need
from ntviz.environment.machine import (
    Versions,
    build,
    device,
    free_memory,
    git_state,
    in_jupyterlab,
    invocation,
    loaded,
    machine,
    variables,
    versions,
)  # fmt: skip
from ntviz.environment.paths import cache_dir, data_dir, notebooks_dir, project_dir, runs_dir, unwritable
from ntviz.environment.reporting import Progress, listeners, progress, tell
