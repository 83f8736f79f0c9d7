"""The live card: an anywidget that shows the parts of a card as they are made, and asks for another variant."""

from __future__ import annotations

from typing import Any

import traitlets

from ntviz.explore.answering import STATIC, Answering, script
from ntviz.explore.variant_attention import Shift


class LiveVariant(Answering):
    """The front end of a `VariantExplorer`. All state is the explorer's; messages carry HTML that Python has escaped."""

    _esm = script("variant.js")
    _css = STATIC / "variant.css"
    model = traitlets.Unicode().tag(sync=True)
    shown = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, explorer: Any) -> None:
        from ntviz.explore.variant_explorer import PARTS, SHOWN

        super().__init__(explorer, model=explorer.bench.model.name, shown=list(SHOWN))
        self._parts = PARTS

    def answer(self, message: dict[str, Any]) -> None:
        answers = {"start": self._start, "go": self._go, "change": self._change, "head": self._head, "export": self._export}  # fmt: skip
        answers[str(message.get("kind"))](message)

    def _start(self, message: dict[str, Any]) -> None:
        self._card(message)

    def _go(self, message: dict[str, Any]) -> None:
        self._explorer.go(str(message["text"]))
        self._card(message)

    def _change(self, message: dict[str, Any]) -> None:
        self._explorer.change(int(message["position"]), str(message["base"]))
        self._card(message)

    def _card(self, message: dict[str, Any]) -> None:
        """The card part by part, each with what is done next: people read the first while the last is made."""
        explorer, names = self._explorer, list(self._parts)
        card = explorer.card
        single = card.where is not None and len(card.where) == 1 and card.here in "ACGT"
        substitution = card.variant is None or len(card.variant.ref) == len(card.variant.alt) == 1
        self._say(
            message,
            "card",
            name=card.name,
            status=card.status,
            bases={
                "position": card.where.start + 1 if single and substitution and card.where else 0,
                "here": card.here if single else "",
                "chosen": card.variant.alt if card.variant is not None and card.scored else "",
            },
            doing=self._parts[names[0]],
        )
        for index, name in enumerate(names):
            doing = self._parts[names[index + 1]] if index + 1 < len(names) else ""
            self._say(message, "part", name=name, html=explorer.part(name), doing=doing, **self._heads(name))

    def _heads(self, name: str) -> dict[str, Any]:
        """All heads, the one that changes most first, beside the picture of one."""
        shift = self._explorer.card.attention if name == "attention" else None
        if not isinstance(shift, Shift):
            return {}
        return {
            "heads": [
                {"layer": layer, "head": head, "moved": float(shift.moved[layer, head])}
                for layer, head in shift.order
            ],
            "head": [self._explorer.layer, self._explorer.head],
        }

    def _head(self, message: dict[str, Any]) -> None:
        self._explorer.choose(int(message["layer"]), int(message["head"]))
        self._say(
            message,
            "part",
            name="attention",
            html=self._explorer.part("attention"),
            doing="",
            **self._heads("attention"),
        )

    def _export(self, message: dict[str, Any]) -> None:
        made = {"table": self._explorer.tsv, "figure": lambda: self._explorer.still().page()}[
            message["what"]
        ]()
        self._say(message, "export", what=message["what"], text=made)
