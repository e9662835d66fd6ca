"""The search for slopes of linear bounds. It steers only: nothing that proves loads it."""
