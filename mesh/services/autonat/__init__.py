"""AutoNAT on a live node: asking others to dial back, and dialling back for others."""
