"""Objects that nobody announced: listings, captures, and what a backfill has before it."""
