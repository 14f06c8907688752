"""AutoNAT between live nodes."""
