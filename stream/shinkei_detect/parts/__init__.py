"""The estimators a machine's model is made of; each is a River estimator and knows signals by name, never numbers or times."""
