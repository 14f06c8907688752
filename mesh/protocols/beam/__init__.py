"""Beam's service network, without a world: signed records of services and names, who may change them, what is told of
them.

Names and figures are Beam's where it has one. There is no other implementation to talk to: the wire is this project's.
"""
