"""The one HTTP client: its connections, the proxies of the environment, and which faults may pass.

How long to wait before a server is asked again stands in oac.data.waiting.
"""

from __future__ import annotations

import urllib.parse
import urllib.request
from typing import Any

import urllib3

# A server that is overloaded or a gateway in trouble; every other 4xx says that asking again is no use.
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
HEADERS = {"User-Agent": "oac", "Accept-Encoding": "identity"}
# Redirects are followed; everything else is asked for again by the caller, who knows what has arrived.
REDIRECTS = urllib3.Retry(total=5, connect=0, read=0, redirect=5, status=0, other=0, respect_retry_after_header=False)


def connection_pool(url: str, **options: Any) -> urllib3.PoolManager:
    """Open a pool of kept connections to the host of `url`, through the proxy that the environment names for it.

    options: those of urllib3.PoolManager. Raises ValueError for a proxy that speaks no HTTP.
    """
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    # With its port, which an entry of no_proxy may name.
    host = parts.netloc.rpartition("@")[2]
    if proxy and host and not urllib.request.proxy_bypass(host):
        address = urllib3.util.parse_url(proxy if "://" in proxy else f"http://{proxy}")
        if address.scheme not in ("http", "https"):
            raise ValueError(f"the proxy {address.host} of {parts.scheme}_proxy must begin with http:// or https://")
        login = urllib.parse.unquote(address.auth) if address.auth else None
        proxy_headers = urllib3.make_headers(proxy_basic_auth=login)
        return urllib3.ProxyManager(address.url, headers=HEADERS, proxy_headers=proxy_headers, **options)
    return urllib3.PoolManager(headers=HEADERS, **options)


def reason(error: Exception) -> str:
    """Name what went wrong: of a request that was given up its cause."""
    cause = getattr(error, "reason", None) or error
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
