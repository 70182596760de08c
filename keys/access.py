"""The token without which a keyset does not show its secret bytes.

Every place that touches secret bytes has to import this module, so that one import test lists
them all. It guards against accidents and not against code that runs in the same process.
"""

from __future__ import annotations

from typing import Final


class SecretAccess:
    """Held by code that may see secret key bytes; there is one, `SECRET_ACCESS`."""

    __slots__ = ()


SECRET_ACCESS: Final = SecretAccess()


def require_access(access: SecretAccess) -> None:
    """Raises TypeError for anything but `SECRET_ACCESS`."""
    if access is not SECRET_ACCESS:
        raise TypeError("secret key bytes need keys.access.SECRET_ACCESS")


__all__ = ["SECRET_ACCESS", "SecretAccess", "require_access"]
