"""What goes into Beam's part of the API; answers are the documents of `mesh.apps.beam`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mesh.api.shapes import Asked, Text
from mesh.codecs.beam import MAX_ENDPOINTS, MAX_TTL_S

Peers = Annotated[list[Text], Field(default_factory=list, max_length=1024, description="Peer ids.")]
Tags = Annotated[list[Annotated[str, Field(max_length=64)]], Field(default_factory=list, max_length=16)]


class ExposureAsked(Asked):
    port: Annotated[int, Field(ge=1, le=65_535)]
    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    public: Annotated[bool, Field(description="Anybody may reach it.")] = False
    allow: Peers


class ServiceAsked(Asked):
    name: Annotated[Text, Field(description="Its name, such as myapp, or its service id.")]
    service_type: Annotated[str, Field(max_length=16)] = "tcp"
    endpoints: Annotated[list[Text], Field(default_factory=list, max_length=MAX_ENDPOINTS)]
    metadata: Annotated[dict[str, Any], Field(default_factory=dict)]
    ttl: Annotated[int | None, Field(ge=10, le=MAX_TTL_S, description="Seconds.")] = None
    description: Annotated[str, Field(max_length=512)] = ""
    tags: Tags
    expose: Annotated[ExposureAsked | None, Field(description="A local port that others may reach.")] = None


class NameAsked(Asked):
    name: Text
    description: Annotated[str, Field(max_length=512)] = ""
    tags: Tags


class NameChanged(Asked):
    ttl: Annotated[int | None, Field(ge=10, le=MAX_TTL_S, description="Seconds.")] = None
    description: Annotated[str | None, Field(max_length=512)] = None
    tags: Annotated[list[Annotated[str, Field(max_length=64)]] | None, Field(max_length=16)] = None


class AllowAsked(Asked):
    peer: Annotated[Text, Field(description="Peer id.")]
    allowed: bool = True


class TransferAsked(Asked):
    to: Annotated[Text, Field(description="Peer id of the new owner.")]


class TokenAsked(Asked):
    token: Annotated[str, Field(min_length=1, max_length=32_768)]


class TrustAsked(Asked):
    peer: Annotated[
        Text | None, Field(description="Peer id of the owner to go by; none: whoever is seen first.")
    ] = None


class TunnelAsked(Asked):
    name: Text
    local_port: Annotated[int, Field(ge=0, le=65_535, description="0 is any free one.")] = 0
