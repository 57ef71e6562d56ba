"""The language of Shinkei: event types, identity, topics, codecs, errors, and the Kafka clients that carry them."""
