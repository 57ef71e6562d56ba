"""What the board shows now: one reader of the log for all browsers, a snapshot with sequence numbers, and its push to them."""
