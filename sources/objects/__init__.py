"""Stored bytes of S3 objects made pieces of whole events, in bounded memory."""
