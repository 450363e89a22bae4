"""Offline HTML pages, from templates that need no script and no server."""
