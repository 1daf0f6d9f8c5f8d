"""The reference benchmark's protocol on every available engine, beside the reference's figures."""
