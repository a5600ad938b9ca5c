"""Make docs/app.png: the app with its example (needs chromium and the extras app and test)."""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from udg.app import server

TARGET = Path(__file__).parents[1] / "docs" / "app.png"


def main() -> None:
    """Open the app, have the example derained, take the picture."""
    with server.running() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1180, "height": 820})
        page.goto(url)
        page.get_by_role("button", name="Try the example").click()
        page.wait_for_selector("#udg-download:enabled")
        page.get_by_text("Draw the direction").click()
        page.wait_for_timeout(1000)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    # 256 colours: a third of the size, and the photo is a small part.
    shot.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
