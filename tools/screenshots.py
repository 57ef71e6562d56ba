"""Pictures of the screens in both languages, into docs/screenshots/: of a demo that runs (--dir, --url), or of one started for it.

A demo of its own runs until something unusual was found (the story's first in its second minute), so that the pages have a case.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
for folder in ("", "gateway", "stream", "trace", "ui"):
    sys.path.insert(0, str(ROOT / folder))

from shinkei_events.runfile import read_run  # noqa: E402
from shinkei_events.settings import load_plant  # noqa: E402
from shinkei_store.pool import connect  # noqa: E402
from tests.support.browser import Chromium, chromium  # noqa: E402
from tests.support.waiting import eventually  # noqa: E402

LANGUAGES = ("ja", "en")
UNUSUAL_WITHIN_S = 1200.0
SETTLE_S = 2.0
CASE_S = 50.0


def cases(folder: Path) -> dict[str, str]:
    """What the pages are asked: the newest anomaly and alarm, a part that was made in it, a supplier lot that has been shipped."""
    plant = load_plant(folder / "plant.toml", folder)
    with connect(plant, "ui") as conn:
        anomaly = conn.execute("select id, machine, began from anomaly order by peak desc limit 1").fetchone()
        alarm = conn.execute(
            "select id from alarm order by (causes->0->>'kind' = 'anomaly') desc, since desc limit 1"
        ).fetchone()
        part = conn.execute(
            "select u.serial from event e join unit u on u.id = e.unit where u.serial like 'EP-%' and e.machine = 'OP70' order by e.ts desc offset 30 limit 1"
        ).fetchone()
        lot = conn.execute(
            "select serial from unit where kind = 'supplier_lot' and serial like 'BRG-%' order by id desc offset 2 limit 1"
        ).fetchone()
    found = (
        {
            "trace": f"trace?unit={quote(lot[0])}&way=forward",
            "part": f"part?unit={quote(part[0])}&kind=serial",
            "machine": "machine?machine=OP20",
        }
        if lot and part
        else {}
    )
    if anomaly:
        found["anomaly"] = f"anomaly?id={anomaly[0]}"
    if alarm:
        found["alarm"] = f"inbox?alarm={alarm[0]}"
    return {"andon": "?", "inbox": "inbox?", "health": "health?"} | found


def photograph(browser: Chromium, url: str, pages: dict[str, str], out: Path) -> None:
    """Every page in every language; the board also as on a phone."""
    for language in LANGUAGES:
        for name, address in pages.items():
            _picture(browser, f"{url}{address}&lang={language}", out / f"{name}-{language}.png", 1920, 1080)
        _picture(browser, f"{url}?lang={language}", out / f"andon-phone-{language}.png", 390, 1400)


def _picture(browser: Chromium, address: str, target: Path, width: int, height: int) -> None:
    screen = browser.screen(width, height, locale="ja-JP" if "lang=ja" in address else "en-GB")
    try:
        screen.open(address)
        screen.page.locator(".clock").wait_for(timeout=60_000)
        eventually(lambda: screen.page.locator(".age").get_attribute("data-is") == "live", 30)
        eventually(lambda: not screen.page.locator('[data-testid="stSkeleton"]').count(), 30)
        screen.page.wait_for_timeout(SETTLE_S * 1000)
        screen.picture(target)
    finally:
        screen.close()
    Image.open(target).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)
    print(target)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, help="folder of a demo that runs")
    parser.add_argument("--url", help="its address (default: what its screens say)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.dir:
        _of(args.dir.resolve(), args.url, args.out)
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "demo"
        demo = subprocess.Popen([sys.executable, "-P", "-m", "shinkei_cli", "demo", "--dir", str(home)])
        try:
            eventually(lambda: read_run(home, "ui"), 120)
            _wait_for_a_case(home)
            _of(home, None, args.out)
        finally:
            demo.terminate()
            demo.wait(15)


def _wait_for_a_case(home: Path) -> None:
    """Until the detector has found something, and the machines behind the one that broke down before have parts again."""
    eventually(lambda: "anomaly" in cases(home), UNUSUAL_WITHIN_S, every=5)
    time.sleep(CASE_S)


def _of(folder: Path, url: str | None, out: Path) -> None:
    plant = load_plant(folder / "plant.toml", folder)
    address = url or f"http://127.0.0.1:{plant.sections['ui'].get('port', 8501)}/"
    with chromium() as browser:
        photograph(browser, address, cases(folder), out)


if __name__ == "__main__":
    main()
