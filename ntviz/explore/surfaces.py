"""Where an explorer is shown: live in JupyterLab, as a still everywhere else."""

from __future__ import annotations

from typing import Any

from ntviz.environment import in_jupyterlab


def bundle(explorer: Any, still: Any) -> dict[str, Any]:
    """What IPython is given to show: the still, and the explorer's widget beside it where someone can use it.

    JupyterLab takes the widget where it can and may, and the HTML where the notebook is not trusted or the server has no
    widgets; outside of JupyterLab nobody could use it, and nbconvert would prefer it to the picture.
    """
    shown = still._repr_mimebundle_()
    if not in_jupyterlab():
        return shown
    try:
        live = explorer.widget._repr_mimebundle_()
    except ImportError:
        return shown
    live = live[0] if isinstance(live, tuple) else live
    return {**live, **shown}
