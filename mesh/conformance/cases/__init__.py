"""The cases, one module a section of a protocol; each holds its `SECTION`."""
