"""ntviz: see what DNA language models see."""

from __future__ import annotations
