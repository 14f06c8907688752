"""Asking a running node why others do not reach it, or why it does not reach a peer."""

from mesh.services.diagnosis.service import Diagnosis, PathFound

__all__ = ["Diagnosis", "PathFound"]
