"""Money on disk and on the wire: what the machines of `mesh.protocols.x402` need of the world.

============  ==========================================================================================================
module        what it is
============  ==========================================================================================================
``till``      `Till`: the seller's side of `/x402/libp2p/1.0.0`
``purse``     `Purse`: buying, and finding out what became of a purchase
``driving``   runs a machine of `mesh.protocols.x402` on the loop
``wallet``    the key of the wallet: its file, signing, recovering
``ledger``    a chain over JSON-RPC; what it says is the truth here
``facilitator``  the service that settles payments, over HTTP; what it says is a hint
``store``     `payments.db`: one thread, commits that many writers share
``sales``     what a seller keeps: a row for each payment that was taken
``purchases`` what a buyer keeps: a row for each purchase, and what caps allow
``rules``     caps, and the chains that money may move on
============  ==========================================================================================================

A `Till` is built from a `Shop`, a `Purse` from rules; both share wallet, ledger and store, and do nothing that costs
money where one of them is missing. There is no default for wallet, ledger or facilitator.
"""
