"""The spool: what machines said, numbered and on disk, until the recorder has it. Nothing here knows OPC UA, MQTT or Kafka."""
