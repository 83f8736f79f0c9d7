"""Where things are and what this machine is: paths, progress, device, versions, doctor."""

from __future__ import annotations

from ntviz.environment.diagnosis import Finding, doctor
from ntviz.environment.files import encoding_of, is_missing, lines_of, rows_of, whole_number
from ntviz.environment.laziness import lazily
from ntviz.environment.machine import Versions, device, free_memory, in_jupyterlab, machine, versions
from ntviz.environment.paths import cache_dir, data_dir, project_dir, runs_dir
from ntviz.environment.reporting import Progress, listeners, progress, tell
