"""OPC UA machines: one session, one subscription, values in source time with their full status."""
