from tests.development.world import chain, chain_server, rpc

__all__ = ["chain", "chain_server", "rpc"]
