"""The pure parts of autonat."""
