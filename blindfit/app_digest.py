"""Which Flower app a study means: the one that this version of Blindfit ships."""

from __future__ import annotations

from typing import Final

# SHA-256 of the app that `server_app.control` builds from ``server_app/flower_app``; a test builds
# it and compares. The app holds no code: it names the code of the installed Blindfit.
APP_SHA256: Final = "6e811a9b25d7c68073a6d363fe56ba8e2af936963f1c66df5a4a7e298f97828f"

__all__ = ["APP_SHA256"]
