"""The engine on qh3; all that touches qh3's insides is in here. See `engine`."""
