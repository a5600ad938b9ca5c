"""The app that ``udg app`` opens in a browser (extra ``app``).

`session` is one open page and knows nothing of Gradio; `page` is what is seen, by its `layout`,
`texts` and `handlers`; `server` starts and ends it. No processing: that is `udg.batch`'s.
"""

from udg.app.choice import Choice, Limits
from udg.app.desk import Desk
from udg.app.session import Session

__all__ = ["Choice", "Desk", "Limits", "Session"]
