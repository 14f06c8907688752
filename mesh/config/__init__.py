"""Typed settings: defaults, profile, file, environment and flags, each value with its origin.

>>> from mesh.config import Config, NetworkSection
>>> Config(network=NetworkSection(listen=())).network.listen
()
"""

from mesh.config.agent import AgentSection
from mesh.config.beam import BeamSection
from mesh.config.blocks import BlocksSection
from mesh.config.crdt import CrdtSection
from mesh.config.discovery import KeepingSection, MdnsSection, PexSection, RendezvousSection
from mesh.config.lethean import LetheanSection
from mesh.config.market import MarketSection
from mesh.config.reachability import AutonatSection, DcutrSection, PortMappingSection, StunSection
from mesh.config.sections import (
    ApiSection,
    Config,
    ConnectionsSection,
    GossipSection,
    IdentifySection,
    KademliaSection,
    LimitsSection,
    LogSection,
    NetworkSection,
    NodeSection,
    PingSection,
    QuicSection,
    RelaySection,
    ServicesSection,
    YamuxSection,
    value_of,
)
from mesh.config.sources import FILE_NAME, Loaded, Origin, data_folder, load

__all__ = [
    "FILE_NAME",
    "AgentSection",
    "ApiSection",
    "AutonatSection",
    "BeamSection",
    "BlocksSection",
    "Config",
    "ConnectionsSection",
    "CrdtSection",
    "DcutrSection",
    "GossipSection",
    "IdentifySection",
    "KademliaSection",
    "KeepingSection",
    "LetheanSection",
    "LimitsSection",
    "Loaded",
    "LogSection",
    "MarketSection",
    "MdnsSection",
    "NetworkSection",
    "NodeSection",
    "Origin",
    "PexSection",
    "PingSection",
    "PortMappingSection",
    "QuicSection",
    "RelaySection",
    "RendezvousSection",
    "ServicesSection",
    "StunSection",
    "YamuxSection",
    "data_folder",
    "load",
    "value_of",
]
