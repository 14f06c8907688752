"""Pubsub on a live node: `mesh.protocols.gossip` given streams, a clock and keys (libp2p specs pubsub).

================  =====================================================================================================
module            what it is
================  =====================================================================================================
``host``          what the service wants of the node it runs on
``service``       `Pubsub`, what programs use as `node.pubsub`
``topic``         `Topic`, what `join` gives
``subscription``  `Message`, and the buffer that a program reads from
``link``          one peer: the stream to it, opened again when it ends, and the stream from it
``inlet``         the stream from a peer, read where its bytes come in
``frames``        a stream's bytes cut into RPCs
``reception``     the way in: RPCs decoded, signatures verified in batches, messages validated and handed out
``verification``  signatures on two processors
``validation``    validators: at once, or in tasks, of which there are only so many
``publishing``    the way out: sealing, waiting for slow peers, sending a turn's worth at a time
``parts``         extensions of 1.3: messages in parts, and the test extension
``running``       what exists from start to stop, and what is done about the router's events
``discovery``     peers of a topic found through the DHT; connecting to those that others name
``tracer``        go's JSON trace
``options``       the configuration's section as the router's settings
================  =====================================================================================================

Nothing here costs a task or a timer for each message: peers' RPCs are looked at in callbacks of the loop, writes that
need no waiting are done at once, and only a peer that is slower than what is told it has a task that writes. Validators
that are coroutines have one each, which is what they are for.
"""

from mesh.protocols.gossip import (
    Part,
    PartReceived,
    PartSupport,
    PartsWanted,
    PeerParts,
    ScoreSettings,
    Thresholds,
    TopicScoreSettings,
    Verdict,
)
from mesh.services.gossip.parts import PartialMessages
from mesh.services.gossip.service import Pubsub
from mesh.services.gossip.subscription import Message, Overflow, Subscription
from mesh.services.gossip.topic import Topic
from mesh.services.gossip.validation import Validator

__all__ = [
    "Message",
    "Overflow",
    "Part",
    "PartReceived",
    "PartSupport",
    "PartialMessages",
    "PartsWanted",
    "PeerParts",
    "Pubsub",
    "ScoreSettings",
    "Subscription",
    "Thresholds",
    "Topic",
    "TopicScoreSettings",
    "Validator",
    "Verdict",
]
