"""Online anomaly detection on River, gated by context, with explanations and snapshots."""
