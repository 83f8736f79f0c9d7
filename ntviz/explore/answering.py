"""What the live explorers share: an anywidget that answers each message of its page, and scripts that are written once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget

STATIC = Path(__file__).parent / "static"


def script(name: str) -> str:
    """The front end of an explorer: the parts that all of them build their pages of, and its own file."""
    return "\n".join((STATIC / part).read_text("utf-8") for part in ("parts.js", name))


class Answering(anywidget.AnyWidget):
    """The front end of an explorer, whose state is all in the explorer; each message is asked for by `kind` and has an `id`.

    Parameters
    ----------
    explorer
        What the page shows.
    traits
        Synchronised values at the beginning.
    """

    def __init__(self, explorer: Any, **traits: Any) -> None:
        super().__init__(**traits)
        self._explorer = explorer
        self.on_msg(self._received)

    def answer(self, message: dict[str, Any]) -> None:
        """Does what a message asks for, and says what came of it."""
        raise TypeError("A live explorer must say what it answers.")

    def _received(self, _: Any, message: dict[str, Any], buffers: Any) -> None:
        try:
            self.answer(message)
        except (ValueError, TypeError, KeyError, MemoryError, RuntimeError, OSError) as error:
            # Whatever a person typed must be answered in place; a traceback in the log helps nobody.
            self._say(message, "error", text=str(error))

    def _say(
        self, message: dict[str, Any], kind: str, buffers: list[bytes] | None = None, **content: Any
    ) -> None:
        self.send({"kind": kind, "asked": message.get("kind"), "id": message.get("id"), **content}, buffers)
