"""The pages in a real browser: Debian's chromium, driven by its own driver. With PIERHEAD_SCREENSHOTS=FOLDER it takes
a picture of each page, wide and narrow, light and dark.
"""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyotp
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as condition
from selenium.webdriver.support.wait import WebDriverWait

from tests import components
from tests.running import Running, serving
from tests.web.person import PASSWORD, setup_address

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
WIDTHS = (1280, 390)
_WAIT_SECONDS = 60


class Browser:
    def __init__(self, driver: webdriver.Chrome, base: str) -> None:
        self.driver = driver
        self.base = base

    def go(self, path: str) -> None:
        self.driver.get(self.base + path)

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.base)

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "main").text

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            field = self.driver.find_element(By.NAME, name)
            field.clear()
            field.send_keys(value)

    def press(self, label: str) -> None:
        """Presses a button and waits for the next page."""
        button = self.driver.find_element(By.XPATH, f'//button[normalize-space()="{label}"]')
        button.click()
        WebDriverWait(self.driver, _WAIT_SECONDS).until(condition.staleness_of(button))

    def one(self, selector: str) -> str:
        return self.driver.find_element(By.CSS_SELECTOR, selector).get_attribute("textContent") or ""

    def looks_right(self, name: str) -> None:
        """No page is wider than its window, in any of the four ways it may look."""
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
                self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
                size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 400}
                self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                wide = self.driver.execute_script("return document.documentElement.scrollWidth")
                assert wide <= width, f"{name} at {width}: {wide}"
                self._picture(f"{name}-{width}-{scheme}", width)
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def _picture(self, name: str, width: int) -> None:
        folder = os.environ.get("PIERHEAD_SCREENSHOTS")
        if folder:
            high = max(600, self.driver.execute_script("return document.documentElement.scrollHeight"))
            clip = {"x": 0, "y": 0, "width": width, "height": high, "scale": 1}
            told = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(told["data"]))


@pytest.fixture(scope="module")
def server_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("browser") / "data", "--workers", "2") as running:
        yield running


@pytest.fixture(scope="module")
def browser(server_: Running) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(components.require("chromium"))
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(components.require("chromedriver"))))
    try:
        yield Browser(driver, server_.url)
    finally:
        driver.quit()


def test_from_the_first_start_to_a_token_and_a_second_factor(browser: Browser, server_: Running) -> None:
    browser.go("/")
    browser.looks_right("open")
    browser.go(setup_address(server_.log))
    browser.looks_right("setup")
    browser.fill(password=PASSWORD, again=PASSWORD)
    browser.press("Make the account")
    assert browser.path == "/account?welcome"
    assert "This registry has its first administrator" in browser.text

    browser.go("/account/tokens/new")
    browser.looks_right("token-new")
    browser.fill(name="laptop")
    browser.press("Make the token")
    browser.looks_right("token-made")
    token = browser.one("pre.once")
    assert httpx.get(f"{server_.url}/v2/", auth=("admin", token)).status_code == 200
    browser.go("/account")
    browser.looks_right("account")
    assert token not in browser.driver.page_source

    browser.go("/account/second-factor")
    browser.press("Add one")
    browser.looks_right("enrol")
    assert browser.driver.execute_script("return document.querySelector('img.qr').naturalWidth") > 0
    browser.fill(code=pyotp.TOTP(browser.one(".secret code").replace(" ", "")).now())
    browser.press("Turn it on")
    browser.looks_right("codes")
    code = browser.one(".codes code")

    browser.press("Sign out")
    browser.looks_right("sign-in")
    browser.fill(name="admin", password="wrong on purpose")
    browser.press("Sign in")
    browser.looks_right("sign-in-wrong")
    browser.fill(name="admin", password=PASSWORD)
    browser.press("Sign in")
    assert browser.path == "/sign-in/second"
    browser.looks_right("second")
    browser.fill(code=code)
    browser.press("Go on")
    assert browser.path == "/account"
    browser.go("/")
    browser.looks_right("front")
    assert "docker login" in browser.text


def test_the_browser_itself_found_nothing_wrong(browser: Browser) -> None:
    """Nothing that the policy of the pages refuses, and nothing that is missing."""
    told = browser.driver.execute("getLog", {"type": "browser"})["value"]
    refused = [entry["message"] for entry in told if "401" not in entry["message"]]

    assert refused == []


def test_a_form_on_another_site_does_nothing(browser: Browser, server_: Running, tmp_path: Path) -> None:
    page = tmp_path / "evil.html"
    page.write_text(
        f'<form method="post" action="{server_.url}/account/sessions/end-others"><button>Win</button></form>'
    )
    browser.driver.get(page.as_uri())

    browser.press("Win")

    assert browser.driver.title.startswith("403")
    browser.go("/account")
    assert browser.path == "/account"
