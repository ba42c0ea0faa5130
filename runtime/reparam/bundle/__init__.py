"""What lies on disk, and whether to believe it."""
