from tests.development.world import chain, chain_server, facilitator, rpc

__all__ = ["chain", "chain_server", "facilitator", "rpc"]
