"""The full screen of `ironflow inspect`. `app.py` first; `views.py` draws, `source.py` asks the server.

It needs textual, the extra `inspect`. Without it this package has no modules.
"""

from importlib.util import find_spec

AVAILABLE = find_spec("textual") is not None
if not AVAILABLE:
    __path__: list[str] = []
