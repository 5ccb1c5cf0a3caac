"""Requests that runs make to a store, counted by their kinds."""

from collections import Counter
from urllib.parse import parse_qs, urlsplit


def kinds(proxy):
    """Return the number of requests of each kind, and forget them.

    "PUT data", "GET run": what is done to objects of which folder; "LIST": a page of a listing.
    """
    counts = Counter(_kind(method, target) for method, target, _ in proxy.requests)
    proxy.requests.clear()
    return counts


def _kind(method, target):
    split = urlsplit(target)
    query = parse_qs(split.query)
    if "list-type" in query or "prefix" in query:
        return "LIST"
    if "delete" in query:
        return "DELETE many"
    folder = next((f for f in ("data", "quarantine", "run") if f"/{f}/" in split.path), "other")
    return f"{method} {folder}"
