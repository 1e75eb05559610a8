"""Opens what was exported in a browser. Runs in the readers' own Python, which has playwright; prints JSON.

`browser.py perfetto UI-FOLDER TRACE [PICTURE] SQL...`: rows of every query, asked in the UI's own engine.
`browser.py speedscope PAGE-FOLDER FILE [PICTURE]`: the text of the page once the file is open.
`browser.py page FILE [PICTURE]`: title, text, errors and requests of a page that is opened from disk.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, sync_playwright  # type: ignore[import-not-found]

#: For one step, on a machine that does much else; who started this waits for a little longer.
PATIENT_MS = 150_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def offline(page: Page, origin: str, folder: Path) -> None:
    """The pages of that origin come from a folder; every other request fails, as it would without a network."""

    def answer(route: Route) -> None:
        url = route.request.url
        if not url.startswith(origin):
            route.abort()
            return
        file = folder / (url.removeprefix(origin).partition("?")[0].partition("#")[0].lstrip("/") or "index.html")
        if file.is_file():
            route.fulfill(path=file)
        else:
            route.fulfill(status=404)

    page.route("**/*", answer)


def perfetto(page: Page, folder: Path, trace: Path, queries: list[str]) -> Any:
    offline(page, "https://ui.perfetto.dev", folder)
    page.goto("https://ui.perfetto.dev/", wait_until="load")
    page.wait_for_function("() => window.app")
    # As the person does it: a file dropped into the page's own file input.
    page.set_input_files("input.trace_file", str(trace))
    page.wait_for_function("() => window.app.trace && window.app.trace.engine")
    out = []
    for query in queries:
        out.append(
            page.evaluate(
                """async (sql) => {
                const engine = window.app.trace.engine;
                const result = await engine.query(sql);
                const columns = result.columns();
                const rows = [];
                const plain = (v) => typeof v === 'bigint' ? Number(v) : v;
                for (const row = result.iter({}); row.valid(); row.next())
                    rows.push(columns.map((c) => plain(row.get(c))));
                return rows;
                }""",
                query,
            )
        )
    return out


def speedscope(page: Page, folder: Path, file: Path) -> Any:
    offline(page, "http://speedscope.test", folder)
    page.goto("http://speedscope.test/index.html", wait_until="load")
    page.set_input_files("input[type=file]", str(file))
    page.wait_for_function("() => /Left Heavy|went wrong/i.test(document.body.innerText)")
    return {"text": page.inner_text("body")}


def main() -> None:
    what, *words = sys.argv[1:]
    picture = next((w for w in words if w.endswith(".png")), None)
    words = [w for w in words if w != picture]
    with sync_playwright() as play:
        path = next(p for name in BROWSERS if (p := shutil.which(name)))
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900}, service_workers="block")
        page.set_default_timeout(PATIENT_MS)
        errors: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        if what == "perfetto":
            answer = perfetto(page, Path(words[0]), Path(words[1]), words[2:])
        elif what == "speedscope":
            answer = speedscope(page, Path(words[0]), Path(words[1]))
        else:
            page.goto(Path(words[0]).resolve().as_uri(), wait_until="load")
            page.wait_for_timeout(500)
            answer = {"text": page.inner_text("body"), "title": page.title(), "asked": asked}
            answer["states"] = page.inner_text("#states")
        if picture is not None:
            page.keyboard.press("Escape")
            page.wait_for_timeout(3000)
            page.screenshot(path=picture, full_page=what == "page")
        print(json.dumps({"answer": answer, "errors": errors}))
        browser.close()


if __name__ == "__main__":
    main()
