"""The Betar marketplace on a live node: listings that everyone has, agents that work, streams, orders, workflows.

=================  ==================================================================================================
module             what it is
=================  ==================================================================================================
``market``         `Market`: what the API, the console and programs use; puts the other parts together
``frames``         one message there, one back, on a stream
``listings``       all listings: the replicated mapping, the topic, what connected peers tell
``announcing``     this node's own listings: put, announced again and again, guarded, withdrawn
``agents``         the agents that this node offers, and having them work
``agents_file``    agents as a TOML file names them
``work``           who does the work: a callable, a command, an HTTP endpoint
``calls``          having an agent work, whether it is here or elsewhere
``orders``         orders made and taken
``sessions``       what was asked and answered
``workflows``      several agents one after another
``environment``    the real node's environment variables as our settings
``money``          payments as the settings want them
``payments``       money: see there
=================  ==================================================================================================

Everything but the payments is kept in ``market.db`` of the data folder, under the keys of the real node's stores.
"""
