"""One JupyterLab and one page for the tests of a module."""

import pytest
from lab import Desk, chromium, jupyterlab


@pytest.fixture(scope="module")
def desk(request, tmp_path_factory):
    """Sit down at a JupyterLab of the module's own, under its BASE_URL if it names one."""
    place = tmp_path_factory.mktemp("lab")
    with jupyterlab(place, getattr(request.module, "BASE_URL", "/")) as lab, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        yield Desk(page, lab)
