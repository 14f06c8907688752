"""``agent.db`` of the data folder: message log with full-text search, address book, own services and name.

`AgentStore` owns the file: one thread writes, two read. The other modules are functions of a connection that never
commit, so that parts of the agent join them into one transaction::

    record = await store.write(lambda database: message_log.add(database, message))
    page = await store.read(lambda database: message_pages.page(database, query))

===================  =================================================================================================
``agent_store``      the file and its threads
``schema``           tables, indexes and triggers; versions of the parts that keep tables of their own in the same file
``message_log``      messages: one row each, states, read marks, conversations, figures
``message_pages``    messages by peer, time, direction, type and words, newest first
``address_book``     peers: names, notes, tags, when they were seen, counts
``own_settings``     services that this agent offers, and the name it goes by
``retention``        what is forgotten, when the settings say so
===================  =================================================================================================
"""

from mesh.apps.agent.store.agent_store import AgentStore

__all__ = ["AgentStore"]
