"""Stored bytes of S3 objects made pieces of whole events, in bounded memory.

body.py, bucket_reader.py, object_ref.py     an object's bytes, fetched
decode.py              the way through the room: bytes → `DecodedChunk`s; what compression and form it has
inflate.py             gzip and zstd, and which compression an object has
codecs.py              all others (bz2, xz, lz4 …); another compression goes here
stored_bytes.py        the compressed bytes, taken a few at a time
text_check.py          what is no text at all
lines.py               text, whole lines
json_text/             JSON: the elements of an array, values one after another
parquet/               rows of Parquet
text_repair.py         any bytes made valid events
decoded_chunk.py       what comes out, and the limits of an object
opening_record.py      objects that were being read when the process died
telemetry.py           named events of this room
"""
