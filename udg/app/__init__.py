"""The app that ``udg app`` opens in a browser (extra ``app``).

`session` does the work and knows nothing of Gradio; `page` is what is seen; `server` starts and
ends it.
"""

from udg.app.session import Choice, Desk, Limits, Session

__all__ = ["Choice", "Desk", "Limits", "Session"]
