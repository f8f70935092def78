"""Public names that were renamed: the old one works for one release and warns."""

import warnings
from importlib import import_module


def renamed(module: str, old: str, new: str) -> object:
    """The attribute `new` of `module`, asked for by its old name."""
    warn_renamed(f"{module}.{old}", f"{module}.{new}", stacklevel=4)
    return getattr(import_module(module), new)


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """stacklevel: of the caller to blame, as for warnings.warn."""
    warnings.warn(
        f"{old} is called {new} now; the old name goes with the next release.", DeprecationWarning, stacklevel
    )
