"""What every API of a daemon has: an address, a token, a note of where it is, a beginning and an end."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from mesh.api import token
from mesh.api.binding import Bound, bind
from mesh.api.http_server import Guarded, HttpServer
from mesh.api.note import Note
from mesh.errors import UsageError


class Served:
    """An API, bound before it serves. ``folder`` keeps the token and says where the API is; without one the token is made
    anew. ``url`` and ``token`` hold from `start` to `stop`."""

    title: ClassVar[str]
    """As errors name it."""
    token_file: ClassVar[str]
    note_file: ClassVar[str]
    max_connections: ClassVar[int]
    max_frame_bytes: ClassVar[int] = 0
    """Of what a listener of events sends; 0 where there are no WebSockets."""

    def __init__(self, listen: str, folder: Path | None) -> None:
        self._listen = listen
        self._folder = folder
        self._note = Note(folder, self.note_file)
        self._bound: Bound | None = None
        self._server: HttpServer | None = None
        self.token = ""

    @abstractmethod
    def guarded(self, bound: Bound) -> Guarded:
        """The application behind its guard."""

    @property
    @abstractmethod
    def owner(self) -> str:
        """The peer id that the note names."""

    def begin(self, url: str) -> None:
        """It is bound and will serve there."""

    async def end(self) -> None:
        """It is about to stop; called once for every `begin`."""

    @property
    def url(self) -> str:
        """`http://HOST:PORT`, or `unix:/path`. Raises `UsageError` when the API does not run."""
        if self._bound is None:
            raise UsageError(f"{self.title} is not running")
        return self._bound.url

    async def start(self) -> None:
        """Bind and serve. Raises `AddressInUse`, `NetworkError`, `UsageError`, `StorageError`, `ConfigError`; nothing is
        left open then."""
        if self._bound is not None:
            raise UsageError(f"{self.title} has been started already")
        folder = self._folder
        self.token = token.make_token() if folder is None else token.load_or_create(folder, self.token_file)
        self._bound = bound = bind(self._listen)
        try:
            self._server = HttpServer(
                self.guarded(bound),
                bound,
                self.title,
                max_connections=self.max_connections,
                max_frame_bytes=self.max_frame_bytes,
            )
            self.begin(bound.url)
            await self._server.start()
            self._note.write(bound.url, self.owner)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End event streams, let answers leave, close; safe to call twice."""
        self._note.remove()
        bound, server = self._bound, self._server
        self._bound = self._server = None
        if bound is None:
            return
        try:
            if server is not None:
                try:
                    await self.end()
                finally:
                    await server.stop()
        finally:
            bound.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
