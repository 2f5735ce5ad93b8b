"""A chat and a stream in the page, behind a base URL like a Hub's."""

import pytest
from lab import Desk
from playwright.sync_api import Locator, expect

BASE_URL = "/user/someone/"
LESSON = "notebooks/00_start_here.ipynb"


@pytest.fixture(scope="module")
def course(desk: Desk) -> Desk:
    desk.open(LESSON)
    return desk


def talk(course: Desk, code: str) -> Locator:
    cell = course.add_cell(code)
    course.run(cell)
    cell.scroll_into_view_if_needed()
    return cell


def test_two_in_a_room_hear_each_other(course: Desk) -> None:
    course.run(course.add_cell(
        "from coursekit.live import live, chat, stream\n"
        'talks = live("toy", "apps.chat_asgi:app", interface="asgi")'))
    one = talk(course, 'chat(talks, "/room")  # the first')
    two = talk(course, 'chat(talks, "/room")  # the second')
    for who in one, two:
        expect(who.get_by_role("status")).to_have_text("connected")
    one.get_by_label("Message").fill("hello, two")
    one.get_by_role("button", name="Send").click()
    for who in one, two:
        expect(who.get_by_role("log")).to_have_text("hello, two")
    two.get_by_label("Message").fill("hello, one")
    two.get_by_label("Message").press("Enter")
    for who in one, two:
        expect(who.get_by_role("log").locator("p")).to_have_text(["hello, two", "hello, one"])
    two.get_by_role("button", name="Leave").click()
    expect(two.get_by_role("status")).to_have_text("closed")
    expect(two.get_by_role("log")).to_contain_text("closed with code 1000")
    expect(two.get_by_role("button", name="Send")).to_be_disabled()
    two.get_by_role("button", name="Join again").click()
    expect(two.get_by_role("status")).to_have_text("connected")


def test_a_stream_counts_and_can_be_left(course: Desk) -> None:
    course.run(course.add_cell(
        'counts = live("toy", "apps.sse_asgi:app", interface="asgi")'))
    cell = talk(course, 'stream(counts, "/events?pause=0.05")')
    expect(cell.get_by_role("status")).to_have_text("connected")
    expect(cell.get_by_role("log").locator("p").nth(2)).to_have_text("3: 3")
    cell.get_by_role("button", name="Leave").click()
    expect(cell.get_by_role("status")).to_have_text("closed")
    seen = cell.locator(".fsts-count").text_content()
    count = cell.get_by_role("log").locator("p").count()
    assert seen == f"{count} events"
    cell.get_by_role("button", name="Listen again").click()
    expect(cell.get_by_role("status")).to_have_text("connected")
    expect(cell.get_by_role("log").locator("p").nth(count)).to_have_text("1: 1")
