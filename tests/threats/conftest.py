"""The site and the browsers of the app's own tests."""

from tests.web.conftest import app, browser, join, quick_hashes, site

__all__ = ["app", "browser", "join", "quick_hashes", "site"]
