"""What nobody announced: listings, captures, what a backfill has before it, and what an API showed later.

listing.py             the objects of a stretch of time in a bucket
backlog.py             a listing as a source (`flows backfill`)
listed_source.py       listings made again and again as a source (`s3_listing`): the lease family over
listed_queue.py        … a listing in the form of a queue, and
listing_position.py    … how far it has come
recheck.py             a second look at an API as a source (`flows recheck`)
captures.py            files, folders and `s3://` as a source (`flows replay`)
"""
