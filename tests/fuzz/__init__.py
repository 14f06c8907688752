"""The fuzzer and what it found."""
