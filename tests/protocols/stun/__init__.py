"""The pure parts of stun."""
