"""The pure parts of port mapping."""
