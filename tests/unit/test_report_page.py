"""The HTML report in a real browser: drawn, sorted, by keyboard, light and dark, no network."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.unit import scenes
from tests.unit.build import (
    BOX,
    bind,
    connect,
    end,
    gram,
    header,
    miss,
    namespace,
    owners,
    sock,
    task,
)
from tests.unit.report import invoke, write
from tests.unit.test_report import query
from tracer.events import Event

FLAGS = (
    "--headless",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,1000",
)


def long_addresses() -> list[Event]:
    """Ends as long as they come, and names that take all the room there is."""
    server, client = (f"[2001:db8:1111:2222:3333:4444:5555:{n}666]" for n in (6, 7))
    by = task(4_194_304, "a-name-15-chars")
    tied = sock(f"{server}:65535", f"{client}:65534", inode=5001, netns=BOX, bound=True)
    open_ = sock("[::]:65535", inode=5001, netns=BOX, bound=True)
    datagram = gram(f"{client}:65533", f"{server}:65535", ifname="a-15-chars-link")
    return [
        header(),
        namespace(0.1, BOX, "a-network-namespace-with-quite-a-long-name", server.strip("[]")),
        bind(1000, open_, by=by),
        connect(2000, open_, tied, by=by),
        owners(2001, 5001, (4_194_304, "a-name-15-chars", 1_048_576)),
        miss(3000, datagram, tied, netns=BOX, code=4),
        end(9000),
    ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a report, `page.html`, on traces of every kind."""
    directory = tmp_path_factory.mktemp("site")
    many = [header(), *query(1000, 40001, "10.0.1.9:53")]
    for number in range(3):
        many += query(3000 + number * 500, 40_010 + number, "10.0.1.1:53")
    recordings = [
        write(directory / "b", scenes.run_b()),
        write(directory / "many", [*many, end(20_000)]),
        write(directory / "nat", scenes.published()),
        write(directory / "six", long_addresses()),
    ]
    for number, path in enumerate(recordings):
        # Each of a boot of its own: else they would be one trace.
        Path(path).write_text(Path(path).read_text().replace("4f9c1f5e", f"4f9c1f5{number}"))
    done = invoke("report", "-f", "html", "-o", str(directory / "page.html"), *recordings)
    assert done.exit_code == 0

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=directory)) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{s.server_port}"
        s.shutdown()


@pytest.fixture
def page(browser: webdriver.Chrome, site: str) -> webdriver.Chrome:
    """The browser with the page just loaded, in the light."""
    prefer(browser, "light")
    for log in ("browser", "performance"):
        browser.get_log(log)  # type: ignore[no-untyped-call]
    browser.get(f"{site}/page.html")
    return browser


def prefer(browser: webdriver.Chrome, scheme: str, media: str = "") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def script(page: webdriver.Chrome, code: str) -> Any:
    return page.execute_script(code)


def column(page: webdriver.Chrome, number: int) -> list[str]:
    """The cells of a column of the groups' table."""
    selector = f"section[aria-labelledby=groups] tbody tr > :nth-child({number})"
    return [cell.text for cell in page.find_elements(By.CSS_SELECTOR, selector)]


def test_it_is_drawn(page: webdriver.Chrome) -> None:
    assert page.title.startswith("udptrace report: 8 misses in 8 incidents")
    diagrams = page.find_elements(By.CSS_SELECTOR, "article section svg[role=img]")
    assert len(diagrams) == 8
    assert all(d.size["height"] > 150 for d in diagrams)
    bars = page.find_elements(By.CSS_SELECTOR, "section[aria-labelledby=causes] rect")
    assert all(bar.size["height"] > 0 for bar in bars)
    # What translates has a lane of its own only where it is neither end's namespace.
    assert "netns host" in [e.text for e in page.find_elements(By.CSS_SELECTOR, "svg text")]


def test_no_text_of_a_diagram_is_cut_or_on_top_of_another(page: webdriver.Chrome) -> None:
    found = script(
        page,
        """
        const bad = [];
        for (const svg of document.querySelectorAll("svg[role=img]")) {
          const frame = svg.getBoundingClientRect();
          const boxes = [...svg.querySelectorAll("text")].map(
            (t) => [t.textContent, t.getBoundingClientRect()]);
          boxes.forEach(([text, box], at) => {
            if (box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom)
              bad.push("cut: " + text);
            for (const [other, b] of boxes.slice(at + 1))
              if (box.left < b.right - 1 && b.left < box.right - 1
                  && box.top < b.bottom - 3 && b.top < box.bottom - 3)
                bad.push(text + " on " + other);
          });
        }
        return bad;
        """,
    )
    assert found == []


def test_a_click_sorts_and_another_turns_it_round(page: webdriver.Chrome) -> None:
    before = column(page, 2)
    assert before == ["3", "1", "1", "1", "1", "1"]
    head = page.find_element(By.CSS_SELECTOR, "section[aria-labelledby=groups] th:nth-child(2)")
    head.find_element(By.TAG_NAME, "button").click()
    assert column(page, 2) == ["1", "1", "1", "1", "1", "3"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.find_element(By.TAG_NAME, "button").click()
    assert column(page, 2) == before
    assert head.get_attribute("aria-sort") == "descending"
    by_cause = page.find_elements(By.CSS_SELECTOR, "section[aria-labelledby=groups] th button")[3]
    by_cause.click()
    assert column(page, 4) == sorted(column(page, 4))
    assert head.get_attribute("aria-sort") == "none"


def test_the_keyboard_does_all_of_it(page: webdriver.Chrome) -> None:
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "To the report"
    for _ in range(40):
        page.switch_to.active_element.send_keys(Keys.TAB)
        active = page.switch_to.active_element
        table = active.find_elements(By.XPATH, "ancestor::section[@aria-labelledby='groups']")
        if active.tag_name == "button" and table and active.text.startswith("misses"):
            break
    assert script(page, "return getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert column(page, 2) == ["1", "1", "1", "1", "1", "3"]


def test_a_screen_reader_has_names_for_everything(page: webdriver.Chrome) -> None:
    unnamed = script(
        page,
        """
        return [...document.querySelectorAll("svg[role=img], [role=region], nav, article, section")]
          .filter((e) => {
            const ids = (e.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean);
            const named = ids.length && ids.every((id) => document.getElementById(id)?.textContent);
            return !named && !e.getAttribute("aria-label");
          }).map((e) => e.outerHTML.slice(0, 80));
        """,
    )
    assert unnamed == []
    tables = page.find_elements(By.TAG_NAME, "table")
    assert all(table.find_elements(By.TAG_NAME, "caption") for table in tables)
    assert not page.find_elements(By.CSS_SELECTOR, "th:not([scope])")
    levels = [int(h.tag_name[1]) for h in page.find_elements(By.CSS_SELECTOR, "h1,h2,h3,h4")]
    assert levels[0] == 1
    assert all(here <= before + 1 for before, here in pairwise(levels))
    ids = script(page, "return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def contrast(page: webdriver.Chrome) -> float:
    """The least contrast of any text to the page behind it (WCAG 2)."""
    least: float = script(
        page,
        """
        const light = (color) => {
          const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(Number)
            .map((v) => v / 255)
            .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (e) => {
          for (; e; e = e.parentElement) {
            const color = getComputedStyle(e).backgroundColor;
            if (color !== "rgba(0, 0, 0, 0)") return color;
          }
          return "rgb(255, 255, 255)";
        };
        return Math.min(...[...document.querySelectorAll("p, td, th, dt, dd, li, a, pre, text")]
          .map((e) => {
            const style = getComputedStyle(e);
            const front = light(e.tagName === "text" ? style.fill : style.color);
            const back = light(behind(e));
            return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
          }));
        """,
    )
    return least


def test_light_and_dark_can_be_read(page: webdriver.Chrome) -> None:
    back = "return getComputedStyle(document.body).backgroundColor"
    assert script(page, back) == "rgb(255, 255, 255)"
    assert contrast(page) >= 4.5
    prefer(page, "dark")
    assert script(page, back) == "rgb(16, 21, 27)"
    assert contrast(page) >= 4.5


def test_a_narrow_window_scrolls_what_is_wide_and_not_the_page(page: webdriver.Chrome) -> None:
    size = {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert script(page, "return document.documentElement.scrollWidth") <= 360
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_fits_a_page_and_is_black_on_white(page: webdriver.Chrome) -> None:
    prefer(page, "dark", "print")
    assert script(page, "return getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    assert script(page, "return getComputedStyle(document.querySelector('nav')).display") == "none"
    size = {"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert script(page, "return document.documentElement.scrollWidth") <= 700
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_no_error_and_nothing_asked_of_the_network(page: webdriver.Chrome, site: str) -> None:
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]
    events = [json.loads(e["message"])["message"] for e in page.get_log("performance")]  # type: ignore[no-untyped-call]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [f"{site}/page.html"]


def test_it_is_whole_without_scripts(browser: webdriver.Chrome, site: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{site}/page.html")
        assert not browser.find_elements(By.CSS_SELECTOR, "th button")
        assert column(browser, 2) == ["3", "1", "1", "1", "1", "1"]
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
