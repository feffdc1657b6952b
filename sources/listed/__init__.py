"""Objects that nobody announced: listings, captures, and what a backfill has before it.

listing.py             the objects of a stretch of time in a bucket
backlog.py             a listing as a source (`flows backfill`)
captures.py            files, folders and `s3://` as a source (`flows replay`)
"""
