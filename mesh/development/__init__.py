"""The world around the money, for development and tests: a private chain, a token on it, who settles there.

No node needs any of it, and nothing here is worth anything: who mints, who is funded and what time it is are anybody's
choice. Needs the extras `chain` and `market`. The chain executes real EVM code and answers real JSON-RPC; the facilitator
speaks to it by that alone. Both listen on loopback only.

    async with ChainServer(PrivateChain(ChainPlan())) as chain, FacilitatorServer(Facilitator(chain.url)) as facilitator:
        print(chain.url, facilitator.url)
"""
