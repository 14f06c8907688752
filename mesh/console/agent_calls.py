"""The agent API of a data folder's daemon, asked by the verbs of `mesh agent`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from mesh.errors import ConfigError, MeshError, NetworkError

if TYPE_CHECKING:
    import httpx

NOTE: Final = "agent.json"
TOKEN: Final = "agent.token"
MAX_FILE_BYTES: Final = 4096
CONNECT_S: Final = 5.0
ANSWER_S: Final = 120.0
START: Final = "start one with: mesh daemon --agent"


class NoAgent(NetworkError):  # noqa: N818 - a condition, not a fault
    """No agent daemon of this data folder answers."""

    code = "no-daemon"


class Declined(MeshError):  # noqa: N818 - as told, not judged here
    """The API's own words. ``status`` is HTTP's."""

    code = "declined"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.exit_status = 2 if status in (400, 413) else 3 if status in (401, 403, 503) else 1


class AgentCalls:
    """An agent API that may answer. ``url`` is where it should be."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What a path shows. Raises `NoAgent`, `Declined`, `NetworkError`."""
        return self.ask("GET", path, query=query)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The answer's object. Raises `NoAgent`, `Declined`, `NetworkError`."""
        given = None if body is None else {key: each for key, each in body.items() if each is not None}
        asked = {key: each for key, each in (query or {}).items() if each not in (None, "")}
        with self._client() as client:
            answer = client.request(method, path, json=given, params=asked)
        found = _object(answer)
        if answer.is_success or (path == "/health" and answer.status_code == 503 and "isHealthy" in found):
            return found
        if "error" not in found:
            raise NoAgent(
                f"what answers at {self.url} is no agent daemon (status {answer.status_code}); {START}"
            )
        raise Declined(answer.status_code, str(found["error"]))

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        import httpx

        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        limits = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        try:
            with httpx.Client(base_url=self.url, headers=headers, timeout=limits, trust_env=False) as client:
                yield client
        except httpx.ConnectError:
            raise NoAgent(f"no agent daemon answers at {self.url}; {START}") from None
        except httpx.TimeoutException:
            raise NetworkError(f"the agent daemon at {self.url} did not answer in time") from None
        except httpx.HTTPError as error:
            reason = error or type(error).__name__
            raise NetworkError(f"the agent daemon at {self.url} went away: {reason}") from None


def agent_of(path: Path | None) -> AgentCalls:
    """The agent API of a data folder. Raises `ConfigError` when the settings turn it off."""
    return AgentCalls(*place_of(path))


def place_of(path: Path | None) -> tuple[str, str]:
    """Address and token of a data folder's agent API: where its daemon says that it is, else where the settings want it.

    Raises `ConfigError` when the settings turn it off.
    """
    from mesh.config import data_folder, load

    folder = data_folder(path)
    token = _text(folder / TOKEN).strip()
    try:
        note = json.loads(_text(folder / NOTE))
        return str(note["url"]), token
    except (ValueError, KeyError, TypeError):
        pass
    listen = load(path).config.agent.api
    if listen == "off":
        raise ConfigError("agent.api is off: this daemon cannot be asked")
    return f"http://{listen}", token


def part(text: str) -> str:
    """A path's part; one that is dots alone would be taken for a way up."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _text(file: Path) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read(MAX_FILE_BYTES)
    except OSError:
        return ""


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NetworkError(
            f"the answer ({answer.status_code}) is not what this version expects of an agent API"
        )
    return found
