"""Port mapping on live nodes."""
