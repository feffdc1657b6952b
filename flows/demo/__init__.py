"""The main job on an embedded AWS and an embedded Devo receiver, on samples of every service.

Needs the extra `[demo]` (ministack, trustme). Nothing here is imported by the collector itself.
"""
