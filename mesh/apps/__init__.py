"""Applications on the node: siblings that never import each other."""
