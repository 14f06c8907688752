"""The engine on aioquic; all that touches aioquic's insides is in here. See `engine`."""
