"""The marketplace's API of a data folder's node, asked by the verbs of `mesh market`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mesh.console.agent_calls import CONNECT_S, Declined, part
from mesh.console.market_serving import loaded_market
from mesh.errors import ConfigError, NetworkError

if TYPE_CHECKING:
    import httpx

__all__ = ["MarketCalls", "UrlOption", "market_of", "part"]

NOTE: Final = "market.json"
TOKEN: Final = "market.token"
MAX_FILE_BYTES: Final = 4096
ANSWER_S: Final = 120.0
START: Final = "start one with: mesh market serve"
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--api-url", metavar="URL", help="The marketplace's API, where the data folder does not tell."
    ),
]


class NoMarket(NetworkError):  # noqa: N818 - a condition, not a fault
    """No node in the marketplace answers."""

    code = "no-daemon"


class MarketCalls:
    """An API that may answer. ``url`` is where it should be."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """What a path shows. Raises `NoMarket`, `Declined`, `NetworkError`."""
        return self.ask("GET", path, query=query)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer. Raises `NoMarket`, `Declined`, `NetworkError`."""
        given = None if body is None else {key: each for key, each in body.items() if each is not None}
        asked = {key: each for key, each in (query or {}).items() if each not in (None, "", False)}
        with self._client() as client:
            answer = client.request(method, path, json=given, params=asked)
        if answer.is_error:
            raise Declined(answer.status_code, answer.text.strip() or f"status {answer.status_code}")
        try:
            return answer.json()
        except ValueError:
            raise NetworkError(f"{self.url} answered what is no JSON: is it a marketplace's API?") from None

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        import httpx

        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        limits = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        try:
            with httpx.Client(base_url=self.url, headers=headers, timeout=limits, trust_env=False) as client:
                yield client
        except httpx.ConnectError:
            raise NoMarket(f"no node in the marketplace answers at {self.url}; {START}") from None
        except httpx.TimeoutException:
            raise NetworkError(f"the node at {self.url} did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NetworkError(f"{self.url}: {error or type(error).__name__}") from None


def market_of(path: Path | None, url: str | None = None) -> MarketCalls:
    """The API of a data folder: where its node says that it is, else where the settings want it. Raises `ConfigError`
    when they turn it off."""
    config = loaded_market(path).config
    folder = config.node.path
    token = "" if folder is None else _text(folder / TOKEN).strip()
    if url is not None:
        return MarketCalls(url.rstrip("/"), token)
    try:
        note = json.loads("" if folder is None else _text(folder / NOTE))
        return MarketCalls(str(note["url"]), token)
    except (ValueError, KeyError, TypeError):
        pass
    if config.market.api == "off":
        raise ConfigError("market.api is off: this node cannot be asked")
    return MarketCalls(f"http://{config.market.api}", token)


def _text(file: Path) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read(MAX_FILE_BYTES)
    except OSError:
        return ""
