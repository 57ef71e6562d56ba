"""The life of alarms: raised, acknowledged, returned, delivered."""
