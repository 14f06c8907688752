"""The wire formats as plain Python: decoders, encoders, limits; one module a format.

GENERATED from protocol_specs by tools.spec_compiler; do not edit.
"""
