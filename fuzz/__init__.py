"""Fuzzing: `python -m fuzz.codec` sets the generated codecs against their interpreted schemas.

`corpus/<format>/` holds inputs to start from, `regressions/<format>/` inputs that once showed a fault; the tests replay
both.
"""
