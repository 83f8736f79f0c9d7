"""Where things are and what this machine is: paths, files written whole, progress, seed, device, versions, doctor."""

from __future__ import annotations

from ntviz.environment.diagnosis import Finding, doctor
from ntviz.environment.files import (
    DAMAGED,
    append_line,
    atomic_directory,
    atomic_write,
    encoding_of,
    lines_of,
    rows_of,
    sha256,
)
from ntviz.environment.laziness import lazily
from ntviz.environment.machine import (
    Versions,
    device,
    free_memory,
    in_jupyterlab,
    machine,
    seed_everything,
    versions,
)
from ntviz.environment.paths import cache_dir, data_dir, project_dir, runs_dir
from ntviz.environment.reporting import Progress, listeners, progress, tell
from ntviz.environment.sharing import Finished, Output, Shelf, Unfinished, share, write_card

__all__ = [
    "DAMAGED",
    "Finding",
    "Finished",
    "Output",
    "Progress",
    "Shelf",
    "Unfinished",
    "Versions",
    "append_line",
    "atomic_directory",
    "atomic_write",
    "cache_dir",
    "data_dir",
    "device",
    "doctor",
    "encoding_of",
    "free_memory",
    "in_jupyterlab",
    "lazily",
    "lines_of",
    "listeners",
    "machine",
    "progress",
    "project_dir",
    "rows_of",
    "runs_dir",
    "seed_everything",
    "sha256",
    "share",
    "tell",
    "versions",
    "write_card",
]
