"""Programs for those who work on mesh; none of them is part of a running node."""
