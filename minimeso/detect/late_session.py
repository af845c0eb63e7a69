"""Late sessions: small networks that take turns with a larger one, opened when first needed."""

from __future__ import annotations

from ..engine import Model, Session
from ..errors import InputError
from ..locks import Lock


class LateSession:
    """A network that runs in the memory of another one.

    Args:
        model: name of a bundled model, or a ``Model``.
        beside: a session that never runs at the same time.

    It is loaded for the first face, so that nobody waits for it who has none.
    """

    def __init__(self, model: str | Model, beside: Session) -> None:
        self._model, self._beside = model, beside
        self._session: Session | None = None
        self._closed = False
        self._opening = Lock()  # of several threads of a detector the first one opens it

    def close(self) -> None:
        """Give the memory back; nothing is seen any more."""
        with self._opening:
            self._closed, session = True, self._session
        if session is not None:
            session.close()

    def _opened(self) -> Session:
        """The session, the same for all threads; ``InputError`` if it is closed."""
        with self._opening:
            if self._session is None:
                if self._closed:
                    raise InputError("the detector is closed: make another one")
                session = Session(self._model, threads=1, isa=self._beside.isa)
                session.share_workspace(self._beside)
                self._session = session
            return self._session
