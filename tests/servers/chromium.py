"""A real browser without a window, that pages are tried in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests import components

PATIENCE_SECONDS = 60


class Browser:
    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def wait_for(self, selector: str) -> None:
        """Until a page has it; fails with what the page has instead."""
        wait = WebDriverWait(self.driver, PATIENCE_SECONDS, poll_frequency=0.05)
        try:
            wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, selector))
        except TimeoutException as error:  # what is seen is asked for only now: before, the page may be changing
            raise AssertionError(f"{selector}: {self.seen}") from error

    def click(self, selector: str) -> None:
        self.wait_for(selector)
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def type(self, selector: str, text: str) -> None:
        self.wait_for(selector)
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(text)

    @property
    def seen(self) -> str:
        text = self.driver.execute_script("return document.body ? document.body.innerText : ''")
        return f"{self.driver.current_url}\n{text}"


@contextmanager
def chromium(*, any_certificate: bool = False) -> Iterator[Browser]:
    """Of nobody's profile. `any_certificate`: also those that nobody vouches for, as test servers have them."""
    options = ChromeOptions()
    options.binary_location = str(components.require("chromium"))
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1100,900"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which root does not get
    options.accept_insecure_certs = any_certificate
    driver = Chrome(options, Service(str(components.require("chromedriver"))))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
