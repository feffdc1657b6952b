"""What a lost connection to AWS says of its cause."""

import ssl
from urllib.parse import urlsplit

from botocore import exceptions as boto


def what_was_lost(error: Exception) -> str:
    """Return what became of the connection; who cannot be reached is named, without the path."""
    told = error.kwargs if isinstance(error, boto.BotoCoreError) else {}
    url = urlsplit(str(told.get("endpoint_url", "")))
    host = url.netloc.rpartition("@")[2]  # a password may stand before it
    to = f" to {url.scheme}://{host}" if host else ""
    return f"connection{to} lost ({type(error).__name__})"


def cure_of_loss(error: Exception) -> str:
    """Return what to look at, "" when nothing more is known."""
    if isinstance(error, boto.SSLError | ssl.SSLError):
        if "wrong version number" in str(error).lower().replace("_", " "):
            return "no TLS is spoken there: write http:// in AWS_ENDPOINT_URL, or give the port of TLS"
        return "check AWS_CA_BUNDLE and any proxy that opens TLS"
    if isinstance(error, boto.ConnectionClosedError) and "http://" in str(error):
        return "is TLS spoken there? Then write https:// in AWS_ENDPOINT_URL; it is tried again"
    if isinstance(error, boto.EndpointConnectionError | boto.ProxyConnectionError):
        return "check the region's name, the network, AWS_ENDPOINT_URL and HTTPS_PROXY; it is tried again"
    return ""
