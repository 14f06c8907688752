"""JSON as Go's ``encoding/json`` writes and reads it: the same bytes, and the same verdict on what others sent.

=============  ==========================================================================================
module         what it is
=============  ==========================================================================================
``writing``    texts of values: key order as given, no blanks, escapes, floats, base64
``parsing``    text to a tree: whole input or nothing, bounds on depth and number of values
``records``    messages as frozen dataclasses: keys, omitempty, case-blind reading, Go's refusals
``instants``   times in RFC 3339 with nanoseconds
=============  ==========================================================================================

The Betar marketplace, section 0. Written by hand, since JSON is no construct.
"""

from mesh.go_json.instants import read_instant, write_instant
from mesh.go_json.parsing import MAX_DEPTH, MAX_VALUES
from mesh.go_json.records import Record, Refused, member, read_record, read_records, write_record
from mesh.go_json.writing import write_float, write_json

__all__ = [
    "MAX_DEPTH",
    "MAX_VALUES",
    "Record",
    "Refused",
    "member",
    "read_instant",
    "read_record",
    "read_records",
    "write_float",
    "write_instant",
    "write_json",
    "write_record",
]
