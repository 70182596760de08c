"""Which Flower app a study means: the one that this version of Blindfit ships."""

from __future__ import annotations

from typing import Final

# SHA-256 of the app that `server_app.control` builds from ``server_app/flower_app``; a test builds
# it and compares. The app holds no code: it names the code of the installed Blindfit.
APP_SHA256: Final = "f51e5f6e37899c119f2e3c15f58c3e28741c291fd3a339518998742d1cbcafbe"

__all__ = ["APP_SHA256"]
