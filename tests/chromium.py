"""Headless Chromium, driven through its debugging pipe: no port, no further package."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe"
)
_KEYS = {"Escape": 27, "Enter": 13}


class Chromium:
    """One browser.

    :param folder: for its profile
    """

    def __init__(self, folder: Path):
        assert BROWSER is not None
        read_theirs, self._write = os.pipe()
        self._read, write_theirs = os.pipe()
        command = f'exec "$0" "$@" 3<&{read_theirs} 4>&{write_theirs}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, BROWSER, *_OPTIONS.split(), f"--user-data-dir={folder}"],
            pass_fds=(read_theirs, write_theirs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_theirs)
        os.close(write_theirs)
        self._number, self._rest = 0, b""
        self.said: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask the browser for something and return what it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {} if session is None else {"sessionId": session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
            self.said.append(told)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        message, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def page(self, url: str) -> "Page":
        """Open a page in a tab of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable", session)
        self.call("Page.navigate", session, url=url)
        page = Page(self, session)
        page.until("location.href !== 'about:blank' && document.readyState === 'complete'")
        return page

    def problems(self) -> list[str]:
        """Return what pages complained of: errors of scripts, refusals by the content security policy."""
        self.call("Browser.getVersion")  # what was said before has been read then
        found = []
        for told in self.said:
            if told.get("method") == "Runtime.exceptionThrown":
                found.append(str(told["params"]["exceptionDetails"]))
            elif told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                entry = told["params"]["entry"]
                found += [] if entry["source"] == "network" else [str(entry)]  # what a server refused, it says itself
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        os.close(self._read)
        os.close(self._write)


class Page:
    """A tab."""

    def __init__(self, browser: Chromium, session: str):
        self._browser, self._session = browser, session

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        told = self._browser.call(
            "Runtime.evaluate", self._session, expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def text(self, id: str) -> str:
        """Return what an element shows."""
        return str(self.run(f"document.getElementById({id!r}).textContent"))

    def until(self, script: str, seconds: float = 60) -> Any:
        """Wait until an expression is true, and return its value."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"not within {seconds} seconds: {script}"
            time.sleep(0.02)
        return value

    def key(self, key: str, control: bool = False) -> None:
        """Press a key."""
        code = _KEYS.get(key, ord(key[0].upper()))
        options: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
        text = {} if key in _KEYS or control else {"text": key}
        self._browser.call("Input.dispatchKeyEvent", self._session, type="keyDown", **options, **text)
        self._browser.call("Input.dispatchKeyEvent", self._session, type="keyUp", **options)

    def type(self, text: str) -> None:
        """Put a text where the cursor is."""
        self._browser.call("Input.insertText", self._session, text=text)

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page."""
        import base64

        told = self._browser.call("Page.captureScreenshot", self._session, format="png")
        path.write_bytes(base64.b64decode(told["data"]))

    def view(self, width: int, height: int, scheme: str) -> None:
        """Show the page at a size in pixels, in a colour scheme: `light` or `dark`."""
        size: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._browser.call("Emulation.setDeviceMetricsOverride", self._session, **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._browser.call("Emulation.setEmulatedMedia", self._session, features=features)

    def pdf(self) -> bytes:
        """Return what the page is on paper."""
        import base64

        told = self._browser.call("Page.printToPDF", self._session, printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(told["data"])
