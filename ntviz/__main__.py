"""The command `ntviz`, and `python -m ntviz`."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from typing import Any, NoReturn


class _Interrupted(KeyboardInterrupt):
    """A subclass, since Python ends by the signal, not by an exit code, if KeyboardInterrupt itself passed an exec."""


def main() -> None:
    """Run the command; interrupted at any moment, while it is loaded too, it ends in one line with exit code 130."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _unraisable
    try:
        from ntviz.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("ntviz: interrupted\n")
        sys.exit(130)


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise _Interrupted


def _unraisable(lost: Any) -> None:
    """An interruption that fell into a callback, as imports have them, comes again; everything else is as it was."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(0.05, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    main()
