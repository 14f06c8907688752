"""The agent daemon (bsv-p2p) on a live node: messages between AI agents, a directory of them, an agent woken by them.

Stock daemons and ours meet on `/openclaw/message/1.0.0` and `/openclaw/ping/1.0.0` and in two pubsub topics; nothing of
that is changed. Between our own nodes messages go by a protocol of their own, which proves what became of each.

====================  ================================================================================================
module                what it is
====================  ================================================================================================
``records``           frozen values that all parts share, with their JSON
``agent``             `Agent`: what the API, the console and programs use; puts the other parts together
``mail``              messages out and in, put together from the following
``messenger``         the stock wire on streams: messages in, ping; the sender is the connection's peer
``requests``          which answer belongs to which request
``logbook``           what a message writes into log, address book and queue of wakes
``delivery``          outbox, inbox, receipts, leases, dead letters, pieces: the proven way between our nodes
``way``               what became of one message, as `why` tells it
``presence``          this agent among others, put together from the following
``announcing``        this agent's announcements: at start, when something changes, for newcomers, every 5 minutes
``finding``           other agents at rendezvous points, where no pubsub reaches them
``status_sharing``    this node's status, every minute, and the last one of every other
``directory``         who announced what, until 15 minutes after we heard it
``topics``            the topics by name, in the code's spelling and in the README's; who may say what in them
``pulse``             when something that is said again and again is said next
``event_stream``      what happens, for all who want to hear of it
``store``             ``agent.db`` of the data folder: message log, address book, services
``waking``            the hook that wakes the agent
``service_reading``   a service as it comes from outside
====================  ================================================================================================

**One message's way.** `Agent.send` commits a row of the log and a row of the outbox in one transaction and then
returns, state ``queued``. One courier a peer takes its rows in order under a lease and dials (known addresses, announced
ones, our relays). Where the peer speaks `/mesh/agent-delivery/1.0.0` it hands messages over by that, else it writes the
stock frame, and the row ends as ``sent``: a stock daemon proves nothing. A row whose peer cannot be reached waits, longer
each time, and is tried at once when the peer connects; one that the peer refuses so many times
(`agent.max_attempts`), or that has waited for `agent.outbox_days`, becomes a dead letter, which stays until it is
sent again or deleted.

**What is proven.** The receiving node signs a receipt for each state, naming the evidence; the sender keeps them all:

=============  =======================================================================================================
``stored``     the receiver's transaction is committed; the inbox row is the evidence
``delivered``  the receiver has heard that its receipt is durable at the sender; the acknowledgement is the evidence
``invoked``    the hook answered 2xx or the command exited 0; the attempt is the evidence
``resumed``    the agent itself called back with the token that it was woken with; a digest of that is the evidence
``answered``   a reply that names the message is stored at the sender; its id and receipt are the evidence
=============  =======================================================================================================

Receipts wait at the receiver until the sender has acknowledged them, across restarts of both.

**Handled once** is one inbox row and one effect an id. The inbox knows a message by (peer, id); its row, the row of the
log, the address book's counts and the wake are one transaction, so that there are all or none. It remembers ids for
longer than any sender may keep trying, and takes nothing older than that. The wake carries an idempotency key made of
peer and id; a wake that is repeated after a crash carries the same one.

**Order.** A peer's messages are committed at the receiver in the order in which they were queued: the courier starts each
exchange at the oldest row without receipt, the receiver reads one exchange of a peer at a time and stops at the first
refusal.

**Large messages** go in pieces that the receiver commits as they come. What a relay cuts off (128 KiB, 2 minutes) goes on
over the next circuit at the byte where the receiver stands.

**Transactions.** All parts write through the store's one writer: ``await store.write(work)`` runs ``work(connection)`` in
one transaction on the writer's thread and gives what it returns; ``await store.read(work)`` likewise without writing.
Functions that take a connection never commit, so that parts can be joined into one transaction.
"""
