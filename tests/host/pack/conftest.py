"""One server and one browser for all tests in a browser, and a page for each of the frontend's renderers."""

from __future__ import annotations

import pytest

from builders.browser import CHROMIUM, FLAGS, new_page, pixel_world
from builders.server import Server
from builders.workflows import training_pictures


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.skipif(not CHROMIUM, reason="no Chromium found"))


@pytest.fixture(scope="session")
def host(comfyui_path, host_folder):
    """A server of the browser's own; ``host.subject`` names the pictures of a subject of the pixel world."""
    with Server(comfyui_path, host_folder()) as server:
        training_pictures(server.folder)
        server.subject = pixel_world(server.folder)
        yield server


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    pytest.importorskip("comfyui_frontend_package", reason="the host has no front end: install its requirements")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session", params=["canvas", "vue"])
def page(request, host, chromium):
    """The frontend with one of its renderers."""
    opened = new_page(chromium, host, request.param == "vue")
    yield opened
    opened.close()
