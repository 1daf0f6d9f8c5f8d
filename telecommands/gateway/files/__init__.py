"""Files by CFDP class 2 (CCSDS 727.0-B-5): products to mission control, packages from it.

The protocol's state machines are those of cfdp-py; what they leave open is closed here: deadlines,
limits, confinement, one file for each transaction, and the checksum of what was received.
"""
