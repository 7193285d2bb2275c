"""The pages in a real browser: in by the link, through the evidence, and a yes that goes live."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from petla.api.app import make_app
from petla.api.binding import address_of, bind
from petla.api.sessions import make_link
from petla.decisions.reviews.reviewing import decide
from petla.storage.workspace import Workspace
from petla.web.routes import make_error_page, make_routes
from tests.web.seed import PROJECT, open_project, seed_loop

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# what the systems call it; PETLA_TEST_CHROMIUM names another
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
REVIEW = "/reviews/01920000-0000-7000-8000-000000000006"
PAGES = (
    "/",
    "/models/delay",
    "/decisions?flag=far_outside",
    "/approvals",
    "/approvals/1",
    "/reviews",
    REVIEW,
    "/incidents/1",
    "/audit",
)
CONTROL = "[control]\nport = 0\n"
# between two refreshes, on the clock of the page, which a test moves
EVERY_MS = 2_000


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    chromium = os.environ.get("PETLA_TEST_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if chromium is None:
        pytest.skip("no Chromium on the path; PETLA_TEST_CHROMIUM may name one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


class Site:
    """A control plane that really listens."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self._listener = bind(ws)
        self.address = address_of(ws, self._listener)
        app = make_app(ws, base_url=self.address, extra_routes=make_routes(ws), error_page=make_error_page(ws))
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        sockets = [self._listener]
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": sockets})
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ws = open_project(tmp_path, PROJECT + CONTROL)
    seed_loop(ws)
    opened = Site(ws)
    yield opened
    opened.close()
    ws.engine.dispose()


@pytest.fixture
def page(browser: "Browser", site: Site) -> "Iterator[Page]":
    """A page that came in by the link, and must not complain nor ask another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url) if not is_ours(request.url, site) else None)
    opened.goto(make_link(site.ws, site.address))
    yield opened
    context.close()
    assert not complaints


def is_ours(url: str, site: Site) -> bool:
    return url.startswith(f"{site.address}/")


def test_grant_by_hand(page: "Page", site: Site) -> None:
    assert page.url == f"{site.address}/"
    page.get_by_role("link", name="See the evidence").click()
    page.get_by_role("heading", name="Should delay:3 go live?").wait_for()
    page.get_by_label("Reason").fill("July looks right")

    page.get_by_role("button", name="Grant").click()

    page.get_by_role("heading", name="delay:3 may go live").wait_for()
    assert "July looks right" in page.locator("#decision").inner_text()
    page.get_by_role("link", name="Overview", exact=True).click()
    page.get_by_role("link", name="delay:3").first.wait_for()


def test_refuse_with_the_keyboard_alone(page: "Page", site: Site) -> None:
    page.goto(f"{site.address}/approvals/1")
    page.locator("#reason").focus()
    page.keyboard.type("holiday traffic")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Refuse"

    page.keyboard.press("Enter")

    page.get_by_role("heading", name="delay:3 was refused").wait_for()


def test_page_works_without_script(browser: "Browser", site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(make_link(site.ws, site.address, path="/approvals/1"))

    page.get_by_role("button", name="Grant").click()

    page.get_by_role("heading", name="delay:3 may go live").wait_for()
    context.close()


def test_page_refreshes_itself_and_leaves_the_typing_alone(page: "Page", site: Site) -> None:
    from petla.loop.approvals import refuse

    page.clock.install()
    page.goto(f"{site.address}/approvals/1")
    page.get_by_label("Reason").fill("I was about to say")

    refuse(site.ws, 1, actor="Grace Hopper", reason="first")

    page.clock.run_for(EVERY_MS)
    page.get_by_role("heading", name="delay:3 was refused").wait_for()
    assert page.get_by_label("Reason").input_value() == "I was about to say"
    page.get_by_label("Reason").fill("")
    page.get_by_label("Reason").blur()
    page.clock.run_for(EVERY_MS)
    page.get_by_text("Grace Hopper").wait_for()


def test_page_leaves_alone_what_is_ticked(page: "Page", site: Site) -> None:
    page.clock.install()
    page.goto(f"{site.address}/reviews")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("checkbox").first.blur()

    decide(site.ws, REVIEW.removeprefix("/reviews/"), True, actor="Grace Hopper", reason="first")

    page.clock.run_for(EVERY_MS)
    page.get_by_text("Grace Hopper decided true: first").wait_for()
    assert page.get_by_role("checkbox", checked=True).count() == 1
    page.get_by_role("checkbox").first.uncheck()
    page.get_by_role("checkbox").first.blur()
    page.clock.run_for(EVERY_MS)
    page.get_by_role("heading", name="Waiting: 1").wait_for()


def test_colours_follow_the_system_until_they_are_chosen(browser: "Browser", site: Site) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(make_link(site.ws, site.address))
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)

    page.get_by_role("button", name="Switch to light colours").click()

    page.wait_for_selector("html[data-theme=light]")
    assert page.evaluate(ground) != dark
    assert page.get_by_role("button", name="Switch to dark colours").is_visible()
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_screen_and_every_control_is_named(page: "Page", site: Site, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path in PAGES:
        page.goto(f"{site.address}{path}")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.evaluate(NAMELESS) == [], path


def test_stranger_is_told_how_to_get_in(browser: "Browser", site: Site) -> None:
    context = browser.new_context()
    page = context.new_page()

    answer = page.goto(f"{site.address}/approvals/1")

    assert answer is not None
    assert answer.status == 401
    page.get_by_text("petla link").wait_for()
    context.close()


# controls, fields and links without a name for a screen reader
NAMELESS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), textarea, summary, progress')]
  .filter(each => !(each.getAttribute('aria-label') || each.textContent.trim() || (each.labels && each.labels.length)))
  .map(each => each.outerHTML)"""
