"""The stock agent protocols (bsv-p2p) without a world: times and random numbers are arguments.

=================  =======================================================================================================
module             what it is
=================  =======================================================================================================
``json_text``      JSON as ECMAScript reads and writes it
``message``        the envelope of messages, who sent it, ids, the replay rule
``message_types``  the fields of each type, for what we send
``rate_window``    100 messages in 60 seconds, or other numbers
``ping``           the daemon's own ping
``announcement``   what is said in the topics
``attestation``    a BSV key vouches for a peer id
=================  =======================================================================================================

Sections are those of the specification of the bsv-p2p daemon at 16eb4dd.
"""
