"""Being asked to stop: a signal is noted, and the run ends by itself after the step, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

REQUEUE = 75
"""Exit code of a run that was asked to stop and can go on: "temporary failure" in the list of sysexits."""
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))
"""What batch systems send before they kill."""


class Asked:
    """Which signal asked to stop; empty while none did."""

    def __init__(self) -> None:
        self.signal = ""

    def __bool__(self) -> bool:
        return bool(self.signal)


@contextmanager
def noted(enabled: bool = True) -> Generator[Asked]:
    """Signals that ask to stop are noted instead of ending the process; what stood before returns afterwards.

    Only the main thread can have handlers: elsewhere, and where not enabled, nothing is ever noted.
    """
    asked = Asked()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, _frame: object) -> None:
        asked.signal = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
