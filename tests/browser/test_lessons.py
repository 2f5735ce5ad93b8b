"""Every lesson in a real browser: Restart and Run All, then nothing is broken, empty or unnamed."""

import pytest
from look import OUTPUTS, barriers, headings_out_of_order, nameless_pictures, undrawn_widgets

from coursekit.authoring.notebooks import notebooks

pytestmark = pytest.mark.needs("chromium")

# JupyterLab asks a new kernel for the state of its debugger, and complains that a restart came
# in between.
HARMLESS = ("Could not restore the debugger state: Canceled future for debug_request message",)


@pytest.fixture(params=notebooks("notebooks"), ids=lambda path: path.stem)
def lesson(request, desk):
    desk.open(f"notebooks/{request.param.name}")
    desk.restart_and_run_all()
    return desk


def test_lesson_runs_and_is_seen(lesson):
    failed = [
        output
        for output in lesson.outputs()
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]
    assert not failed
    assert not undrawn_widgets(lesson.page)
    assert not nameless_pictures(lesson.page)
    assert not headings_out_of_order(lesson.page)
    lesson.frames_loaded()
    assert not barriers(lesson.page, OUTPUTS)
    assert not [said for said in lesson.complaints if not said.startswith(HARMLESS)]
