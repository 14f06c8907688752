"""The daemon of a data folder, asked through its control API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mesh.errors import DialError, DialFailure, MeshError, NetworkError

if TYPE_CHECKING:
    import httpx

NOTE: Final = "api.json"
MAX_NOTE_BYTES: Final = 4096
CONNECT_S: Final = 5.0
ANSWER_S: Final = 120.0
"""Longer than a node may take to reach a peer."""
STREAM_S: Final = 3700.0
"""Longest silence of a stream: an interval between pings."""


class NoDaemon(NetworkError):  # noqa: N818 - a condition, not a fault
    """No daemon of this data folder answers."""

    code = "no-daemon"


class Refused(MeshError):  # noqa: N818 - as told, not judged here
    """The daemon's own error; ``code`` is the one it gave."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        wrong_usage = code in ("usage", "invalid-request", "malformed-json", "too-large")
        self.exit_status = 2 if wrong_usage else 3 if code in ("config", "storage") else 1


class Daemon:
    """A daemon that runs. ``ask`` gives one answer, ``lines`` the objects of a stream as they come."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        limit_s: float = ANSWER_S,
        prefix: str = "/v0",
    ) -> dict[str, Any]:
        """The answer to one request. Raises `NoDaemon` and what the daemon reports."""
        import httpx

        limits = httpx.Timeout(limit_s, connect=CONNECT_S)
        with self._client() as client:
            answer = client.request(method, f"{prefix}{path}", json=body, params=query, timeout=limits)
            _check(answer)
            return _object(answer.text)

    def lines(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The objects that a POST streams. Raises like `ask`, also for an error in the middle."""
        import httpx

        limits = httpx.Timeout(ANSWER_S, read=STREAM_S, connect=CONNECT_S)
        with (
            self._client() as client,
            client.stream("POST", f"/v0{path}", json=body, timeout=limits) as answer,
        ):
            if answer.is_error:
                answer.read()
            _check(answer)
            for text in answer.iter_lines():
                line = _object(text)
                if line.get("type") == "error":
                    raise _error_of(line.get("problem"))
                yield line

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        import httpx

        path = self._url.removeprefix("unix:") if self._url.startswith("unix:") else None
        transport = httpx.HTTPTransport(uds=path)
        try:
            with httpx.Client(
                base_url="http://localhost" if path else self._url,
                transport=transport,
                headers={"authorization": f"Bearer {self._token}"},
                timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
                trust_env=False,
            ) as client:
                yield client
        except httpx.ConnectError:
            raise NoDaemon(f"no daemon answers at {self._url}; start one with: mesh daemon") from None
        except httpx.TimeoutException:
            raise NetworkError(f"the daemon at {self._url} did not answer in time") from None
        except httpx.HTTPError as error:
            raise NetworkError(
                f"the daemon at {self._url} went away: {error or type(error).__name__}"
            ) from None


def find(folder: Path) -> Daemon | None:
    """The daemon that wrote its address into this folder; None when there is none or its process has ended."""
    from mesh.api.token import load

    try:
        with open(folder / NOTE, "rb") as file:
            note = json.loads(file.read(MAX_NOTE_BYTES))
        url, pid = str(note["url"]), int(note["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not url.startswith(("http://", "unix:/")) or not _lives(pid):
        return None
    return Daemon(url, load(folder))


def running(path: Path | None) -> Daemon:
    """The daemon of a data folder. Raises `NoDaemon` that says what to do."""
    from mesh.config import data_folder

    folder = data_folder(path)
    daemon = find(folder)
    if daemon is None:
        raise NoDaemon(
            f"no daemon with a control API runs in {folder}; start one with: mesh daemon --path {folder}"
        )
    return daemon


def _lives(pid: int) -> bool:
    """Whether a process exists; its token must not go to whoever took its port afterwards."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return False
    return pid > 0


def _check(answer: httpx.Response) -> None:
    if answer.is_error:
        raise _error_of(_object(answer.text))


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NetworkError("the daemon's answer is not what this version expects")
    return found


def _error_of(problem: object) -> MeshError:
    """The error that a problem body stands for."""
    body = problem if isinstance(problem, dict) else {}
    if isinstance(said := body.get("error"), dict):
        return _error_of_beam(said)
    code, message = str(body.get("code", "mesh")), str(body.get("detail", "the daemon gave no reason"))
    failures = body.get("failures")
    if code == DialError.code and isinstance(failures, list):
        return DialError(
            f"{message}:", [DialFailure(each["address"], each["stage"], each["cause"]) for each in failures]
        )
    return Refused(code, message)


def _error_of_beam(said: dict[str, Any]) -> Refused:
    """The error in Beam's shape; its own code is among the details, where it has one."""
    details = said.get("details")
    code = str(details.get("problem", "")) if isinstance(details, dict) else ""
    message = str(said.get("message", "the daemon gave no reason"))
    fields = details.get("fields") if isinstance(details, dict) else None
    if isinstance(fields, list):
        message += ": " + "; ".join(f"{each['field']}: {each['fault']}" for each in fields)
    return Refused(code or _PLAIN.get(str(said.get("code")), str(said.get("code")).lower()), message)


_PLAIN: Final = {"VALIDATION_ERROR": "usage", "RATE_LIMIT_EXCEEDED": "rate-limit"}
