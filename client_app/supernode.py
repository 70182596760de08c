"""A SuperNode that runs one app, the one that was agreed, in its own process.

It takes the place of Flower's ``flower-supernode``, ``flower-superexec`` and ``flwr-clientapp``,
which would install and run whatever app the SuperLink ships, in a new process for each message.
Here no app is installed: a message of another app's run is refused, one of the study's goes to the
`ClientApp` of the installed Blindfit.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable

import httpx
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from blindfit.backoff import Backoff
from client_app.federation import REFUSED
from client_app.fleet_link import FleetLink, is_passing, is_unknown
from client_app.participant import Tell

# A message is asked for after a tenth of the time in which none came, so that waiting for it adds
# little to a round of any length, and a server with many idle nodes is not kept busy by them.
_SHORTEST, _LONGEST, _GROWTH = 0.1, 2.0, 1.1  # seconds between two questions
_AGAIN_SECONDS = 2.0  # before a connection is tried again
_TOO_LARGE = 413
_log = logging.getLogger(__name__)


class SuperNode:
    """Runs ``app`` for the SuperLink that ``connect`` leads to.

    ``app_digest`` is the SHA-256 of the app (FAB) that is accepted. ``tell`` gets events: admitted;
    unadmitted, unconnected, refused and foreign_app with the reason.
    """

    def __init__(
        self, connect: Callable[[], FleetLink], app_digest: str, app: ClientApp, tell: Tell
    ) -> None:
        self._connect, self._app_digest, self._app, self._tell = connect, app_digest, app, tell
        self._shipped: tuple[int, str] | None = None  # the last run, and the digest of its app

    def run(self, stopped: Callable[[], bool]) -> None:
        """Answer messages until ``stopped`` says so; a SuperLink that is away is waited for."""
        while not stopped():
            try:
                with self._connect() as link:
                    self._tell("admitted")
                    self._shipped = None
                    self._serve(link, stopped)
            except httpx.HTTPError as error:
                name = "unadmitted" if is_unknown(error) else "unconnected"
                self._tell(name, reason=_reason(error))
                time.sleep(_AGAIN_SECONDS)

    def _serve(self, link: FleetLink, stopped: Callable[[], bool]) -> None:
        idle = Backoff(_SHORTEST, _LONGEST, _GROWTH)
        while not stopped():
            message = link.receive()
            if message is None:
                time.sleep(idle.pause())
            else:
                self._answer(message, link)
                idle.reset()

    def _answer(self, message: Message, link: FleetLink) -> None:
        """Raises `httpx.HTTPError` when the connection is lost."""
        started = time.monotonic()
        try:
            reply = self._reply(message, link)
            link.send(reply, time.monotonic() - started)
        except Exception as error:  # a peer's bytes in Flower's code must not end us
            if is_passing(error) or is_unknown(error):
                raise
            # The coordinator gets no answer, and goes on without.
            _log.exception("a message could not be answered")
            self._tell("refused", reason=_reason(error))

    def _reply(self, message: Message, link: FleetLink) -> Message:
        run_id = message.metadata.run_id
        digest = self._app_of(run_id, link)
        if digest != self._app_digest:
            reason = (
                f"this participant runs only the app {self._app_digest} that its study names; "
                f"the server shipped {digest}"
            )
            self._tell("foreign_app", reason=reason)
            return Message(Error(REFUSED, reason), reply_to=message)
        return self._app(message, Context(run_id, link.node_id, {}, RecordDict(), {}))

    def _app_of(self, run_id: int, link: FleetLink) -> str:
        if self._shipped is None or self._shipped[0] != run_id:
            self._shipped = run_id, hashlib.sha256(link.app_of(run_id)).hexdigest()
        return self._shipped[1]


def _reason(error: Exception) -> str:
    if is_unknown(error):
        return "the server does not know this participant's key, or the two clocks differ"
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        too_large = ": a message is larger than it takes" if status == _TOO_LARGE else ""
        return f"the server answers {status}{too_large}"
    return str(error) or type(error).__name__


__all__ = ["SuperNode"]
