"""Tests bring pyOpenSSL, and botocore imports what it finds; an installation has none."""

raise ImportError("not installed")
