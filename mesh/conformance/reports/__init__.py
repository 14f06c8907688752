"""A run told in words, as JSON, as JUnit's XML and as one HTML page."""
