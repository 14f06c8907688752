"""Staying connected, without a world: who counts as dead, how good a peer is, whom to keep, seek and replace."""
