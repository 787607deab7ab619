"""A catalogue as a service has it: open and warm before the first request."""

import os
from collections.abc import Mapping
from typing import Any

from bedeck.catalogue import Catalogue
from bedeck.catalogue import open as open_catalogue
from bedeck.store import Store

__all__ = ["opened"]


def opened(
    store: str | os.PathLike[str] | Store, options: Mapping[str, Any], *, warm: bool = True, lock: bool = False
) -> Catalogue:
    """The catalogue, which is closed where it cannot be warmed. Raises what these two raise."""
    catalogue = open_catalogue(store, **options)
    try:
        if warm or lock:
            catalogue.warm(lock=lock)
    except BaseException:
        catalogue.close()
        raise
    return catalogue
