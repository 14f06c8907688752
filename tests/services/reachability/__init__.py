"""Reachability of live nodes."""
