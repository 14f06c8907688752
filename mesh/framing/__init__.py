"""Byte streams cut into messages, without input or output of their own."""
