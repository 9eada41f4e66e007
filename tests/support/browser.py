"""A real browser without a window, for what only a browser can tell of a page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

BROWSERS, DRIVER = ("chromium", "chromium-browser", "google-chrome"), "chromedriver"
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
)


def missing() -> str | None:
    """What is not installed; None where a browser can be started."""
    if not any(map(shutil.which, BROWSERS)):
        return f"no browser is installed ({', '.join(BROWSERS)})"
    return None if shutil.which(DRIVER) else f"{DRIVER} is not installed"


@contextmanager
def browser() -> Iterator[Chrome]:
    """Chromium with a profile of its own, its console kept."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = Chrome(options=options, service=Service(shutil.which(DRIVER)))
        try:
            yield driver
        finally:
            driver.quit()


def open_page(driver: Chrome, path: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
    """Load a file as a window of this size, in pixels, shows it."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get_log("browser")  # what an earlier page said
    driver.get(path.as_uri())


def console(driver: Chrome) -> list[str]:
    """What the browser complains of, such as a script's error or a breach of the page's policy."""
    return [str(entry["message"]) for entry in driver.get_log("browser")]


def screenshot(driver: Chrome, path: Path, whole: bool = True) -> None:
    """Write the page as PNG: all of it, or what the window shows."""
    import base64

    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
    path.write_bytes(base64.b64decode(shot["data"]))


def run_script(driver: Chrome, text: str, *arguments: Any) -> Any:
    return driver.execute_script(text, *arguments)
