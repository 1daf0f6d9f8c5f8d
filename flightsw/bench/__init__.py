"""The reference benchmark's protocol on every engine there is, beside the reference's figures."""
