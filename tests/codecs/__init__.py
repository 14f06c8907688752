"""The generated codecs: against the recorded vectors, and against their schemas as construct interprets them."""
